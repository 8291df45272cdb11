"""A decode server whose "videos" begin with a JSON line that says how it asks for their bytes."""

import json
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from mover_ray.video.request import DecodeRequest, FrameSink
from mover_ray.video.server import main
from tests.video.fault_server import FRAMES, HEIGHT, INFO, WIDTH

#: Bytes that are read between two frames.
STRIDE = 300_000


def play(file: BinaryIO, request: DecodeRequest, sink: FrameSink) -> tuple[str, ...]:
    """Reads between the frames and shows in each the byte that it has come upon."""
    script = json.loads(file.read(200))
    if script["fault"] is not None:
        FAULTS[script["fault"]](script, file, sink)
    sink.info(INFO, FRAMES, 1.0)
    for index in range(request.skip, FRAMES):
        file.seek(index * STRIDE)
        (value,) = file.read(STRIDE)[-1:]
        image = np.full((HEIGHT, WIDTH, 3), value, dtype=np.uint8)
        sink.frame(index, float(index), (0,), image)
    return ()


def ask(script: dict[str, Any], file: Any, sink: FrameSink) -> None:
    """Sends a message that no sound decoder sends, and waits for what comes of it."""
    message = json.dumps(script["message"]).encode()
    file._channel.sendall(len(message).to_bytes(4, "big") + message)
    time.sleep(60)


def send_bytes(script: dict[str, Any], file: Any, sink: FrameSink) -> None:
    file._channel.sendall(bytes.fromhex(script["bytes"]))
    time.sleep(60)


def ask_again_and_again(script: dict[str, Any], file: Any, sink: FrameSink) -> None:
    while True:
        file._there = (0, 0)
        file.seek(0)
        file.read(10)


def ask_and_never_listen(script: dict[str, Any], file: Any, sink: FrameSink) -> None:
    message = b'{"kind": "read", "start": 0, "stop": 9}'
    while True:
        file._channel.sendall(len(message).to_bytes(4, "big") + message)


def plan_again_and_again(script: dict[str, Any], file: Any, sink: FrameSink) -> None:
    while True:
        sink.plan([(0, 1), (5, 9)])


def hang_up(script: dict[str, Any], file: Any, sink: FrameSink) -> None:
    file._channel.close()
    time.sleep(60)


def carry_on(script: dict[str, Any], file: Any, sink: FrameSink) -> None:
    """Invents what it could not read."""
    try:
        file.seek(script["unreadable"])
        file.read(10)
    except ConnectionError:
        sink.info(INFO, FRAMES, 1.0)


FAULTS: dict[str, Callable[[dict[str, Any], Any, FrameSink], None]] = {
    "ask": ask,
    "raw": send_bytes,
    "flood": ask_again_and_again,
    "deaf": ask_and_never_listen,
    "plans": plan_again_and_again,
    "hang_up": hang_up,
    "carry_on": carry_on,
}


if __name__ == "__main__":
    main(play)
