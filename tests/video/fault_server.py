"""A decode server whose "videos" are JSON texts that say how their decoding goes wrong."""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mover_ray.video.probe import VideoInfo
from mover_ray.video.request import DecodeRequest, FrameSink
from mover_ray.video.server import main
from tests.video.attacks import ATTACKS

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
            sink.frame(index, float(index), (index // 2,), image)
    return answer(script)


def answer(script: dict[str, Any]) -> tuple[str, ...]:
    """Gives the video's flags: what could be done that should not be possible."""
    if script["fault"] == "escape":
        return tuple(escapes())
    if "attack" not in script:
        return ("played",)
    try:
        ATTACKS[script["attack"]]()
    except (OSError, RuntimeError) as error:
        return ("refused", type(error).__name__)
    return ("got through",)


def misbehave(script: dict[str, Any], sink: Any) -> None:
    """Does what the script names."""
    FAULTS[script["fault"]](script, sink)


def send_signal(script: dict[str, Any], sink: Any) -> None:
    os.kill(os.getpid(), script["number"])


def kill_server(script: dict[str, Any], sink: Any) -> None:
    os.write(server_fuse, b"!")
    time.sleep(60)


def lay_fuse() -> int:
    """Gives a descriptor; whatever is written to it ends this process, which its child cannot."""
    end, start = os.pipe()
    signal.signal(signal.SIGIO, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    fcntl.fcntl(end, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(end, fcntl.F_SETFL, os.O_ASYNC)
    return start


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
        sink.frame(index, 0.0, (0,), np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))


def flood_with_messages(script: dict[str, Any], sink: Any) -> None:
    while True:
        sink.info(INFO, FRAMES, 1.0)


def drip(script: dict[str, Any], sink: Any) -> None:
    sink._channel.sendall(b"\0\0\1\0")
    for _ in range(256):
        time.sleep(0.4)
        sink._channel.sendall(b" ")


def close_descriptors(script: dict[str, Any], sink: Any) -> None:
    for descriptor in range(64):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    time.sleep(60)


def write_past_the_buffer(script: dict[str, Any], sink: Any) -> None:
    memory = sink._buffer._map
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    ctypes.memset(address, 255, len(memory) + 2**40)


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
    "flood_with_messages": flood_with_messages,
    "drip": drip,
    "close": close_descriptors,
    "overrun": write_past_the_buffer,
    "raw": send_bytes,
    "send": send_message,
}


def escapes() -> list[str]:
    """Lists what a child can do that it should not."""
    found = [f"environment:{name}" for name in sorted(os.environ)]
    trials = {
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
    server_fuse = lay_fuse()
    main(play)
