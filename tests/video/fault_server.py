"""A decode server whose "videos" are JSON texts that say how their decoding goes wrong."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mover_ray.video.probe import VideoInfo
from mover_ray.video.request import DecodeRequest, FrameSink
from mover_ray.video.server import main

FRAMES = 6
HEIGHT, WIDTH = 20, 30
INFO = VideoInfo(
    duration_s=6.0,
    fps=1.0,
    width=WIDTH,
    height=HEIGHT,
    codec="none",
    container="none",
    num_frames=FRAMES,
    rotation=0,
    pixel_format="rgb24",
    bit_depth=8,
)


def play(file: BinaryIO, request: DecodeRequest, sink: FrameSink) -> tuple[str, ...]:
    """Delivers frames and, before the one that is named, does what is asked."""
    script = json.loads(file.read())
    if script["before"] < 0:
        misbehave(script, sink)
    sink.info(INFO, FRAMES, 1.0)
    for index in range(FRAMES):
        first_attempt = request.skip == 0
        if index == script["before"] and (first_attempt or script.get("always")):
            misbehave(script, sink)
        if index >= request.skip:
            image = np.full((HEIGHT, WIDTH, 3), index, dtype=np.uint8)
            sink.frame(index, float(index), index // 2, image)
    return tuple(escapes()) if script["fault"] == "escape" else ("played",)


def misbehave(script: dict[str, Any], sink: Any) -> None:
    """Does what the script names."""
    FAULTS[script["fault"]](script, sink)


def send_signal(script: dict[str, Any], sink: Any) -> None:
    os.kill(os.getpid(), script["number"])


def kill_server(script: dict[str, Any], sink: Any) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def hang(script: dict[str, Any], sink: Any) -> None:
    time.sleep(60)


def spin(script: dict[str, Any], sink: Any) -> None:
    while True:
        pass


def allocate(script: dict[str, Any], sink: Any) -> None:
    hoard = [bytes(2**20) for _ in range(2**20)]
    raise AssertionError(len(hoard))


def leave(script: dict[str, Any], sink: Any) -> None:
    os._exit(3)


def stumble(script: dict[str, Any], sink: Any) -> None:
    raise ZeroDivisionError("a bug")


def flood(script: dict[str, Any], sink: Any) -> None:
    for index in range(10**9):
        sink.frame(index, 0.0, 0, np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))


def send_bytes(script: dict[str, Any], sink: Any) -> None:
    sink._channel.sendall(bytes.fromhex(script["bytes"]))
    time.sleep(60)


def send_message(script: dict[str, Any], sink: Any) -> None:
    sink.send(script["message"])
    time.sleep(60)


FAULTS: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "signal": send_signal,
    "kill_server": kill_server,
    "hang": hang,
    "spin": spin,
    "allocate": allocate,
    "exit": leave,
    "raise": stumble,
    "flood": flood,
    "raw": send_bytes,
    "send": send_message,
}


def escapes() -> list[str]:
    """Lists what a child can do that it should not."""
    found = [f"environment:{name}" for name in sorted(os.environ)]
    trials = {
        "socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "file": lambda: Path("/proc/self/status").read_text(encoding="utf-8"),
        "pipe": os.pipe,
    }
    for name, trial in trials.items():
        try:
            trial()
        except OSError:
            continue
        found.append(name)
    return found


if __name__ == "__main__":
    main(play)
