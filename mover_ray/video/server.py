"""The decode server: a small process that forks a child for every video.

It has imported the decoder once and holds nothing else, so that a fork costs a millisecond and
a child starts clean. It runs one child at a time and answers each `run` by one `exit` message.

    python -m mover_ray.video.server DESCRIPTOR     a connected stream socket
"""

import contextlib
import dataclasses
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import BinaryIO, Final, NoReturn, cast

import av.logging
import numpy as np
import numpy.typing as npt

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.decode import decode_video
from mover_ray.video.descriptor import DescriptorFile
from mover_ray.video.joint_plan import Groups
from mover_ray.video.limits import die_with_parent, limit_process
from mover_ray.video.probe import VideoInfo
from mover_ray.video.protocol import (
    FrameBuffer,
    Message,
    receive_exactly,
    receive_request,
    send_message,
)
from mover_ray.video.range_file import RangeFile
from mover_ray.video.request import DecodeRequest, FrameSink

Decode = Callable[[BinaryIO, DecodeRequest, FrameSink], tuple[str, ...]]

# PyAV and traceback import these when they first need them; a child can open no file.
_PRELOADED: Final = (
    "av.audio.codeccontext",
    "av.audio.stream",
    "av.sidedata.motionvectors",
    "av.subtitles.codeccontext",
    "av.subtitles.stream",
    "av.video.codeccontext",
    "av.video.stream",
    "linecache",
    "tokenize",
)

#: The video, the socket for its frames, the memory for its pictures and, for a video that is not
#: all there yet, the socket by which its bytes are asked for.
RUN_DESCRIPTORS: Final = 4


def serve(control: socket.socket, decode: Decode) -> None:
    """Serves one parent until it closes its end.

    Args:
        control: Carries `run` and `kill` to the server, `ready` and `exit` to the parent.
        decode: Called in a child for each `run`.
    """
    die_with_parent()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    # A handler must exist for the signal to reach the wake-up descriptor.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for module in _PRELOADED:
        importlib.import_module(module)
    gc.freeze()
    send_message(control, {"kind": "ready"})
    while (received := receive_request(control, RUN_DESCRIPTORS)) is not None:
        message, descriptors = received
        if message["kind"] != "run":
            continue
        child = _fork(control, decode, message, descriptors)
        outcome = _await(child, control, wake_read)
        with contextlib.suppress(OSError):
            send_message(control, {"kind": "exit", "status": outcome})


def _fork(control: socket.socket, decode: Decode, message: Message, descriptors: list[int]) -> int:
    child = os.fork()
    if child == 0:
        _run_child(control, decode, message, descriptors)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    for descriptor in descriptors:
        os.close(descriptor)
    return child


def _await(child: int, control: socket.socket, wake_read: int) -> int:
    """Waits for a child, killing it if the parent says so or is gone; gives its wait status."""
    ended, status = 0, 0
    while not ended:
        readable, _, _ = select.select([control.fileno(), wake_read], [], [])
        if wake_read in readable:
            os.read(wake_read, 4096)
        # While a child runs, the parent can only say `kill` or close its end.
        if control.fileno() in readable and not _is_told_to_wait(control):
            _kill_group(child)
            return os.waitpid(child, 0)[1]
        ended, status = os.waitpid(child, os.WNOHANG)
    _kill_group(child)
    return status


def _is_told_to_wait(control: socket.socket) -> bool:
    received = receive_request(control, 0)
    return received is not None and received[0]["kind"] != "kill"


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


def _run_child(
    control: socket.socket, decode: Decode, message: Message, descriptors: list[int]
) -> NoReturn:
    """Decodes one video and ends the process, whatever happens."""
    code = 1
    try:
        die_with_parent()
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        _report(decode, message, descriptors)
        code = 0
    except ConnectionError:
        # The parent has closed its end: nobody is left to tell.
        code = 2
    finally:
        os._exit(code)


def _report(decode: Decode, message: Message, descriptors: list[int]) -> None:
    request = DecodeRequest.from_message(message)
    video, frames, memory, *ranges = descriptors
    channel = socket.socket(fileno=frames)
    file = RangeFile(video, socket.socket(fileno=ranges[0])) if ranges else DescriptorFile(video)
    buffer = FrameBuffer(memory, 3 * request.budget.max_pixels)
    limit_process(request.budget)
    sink = _ChannelSink(channel, buffer, file)
    try:
        flags = decode(cast("BinaryIO", file), request, sink)
        sink.send({"kind": "end", "flags": flags})
    except InputError as error:
        sink.send({"kind": "error", "status": str(error.status), "text": str(error)})
    except MemoryError:
        text = f"decoding needs more than {request.budget.memory_mib} MiB"
        sink.send({"kind": "error", "status": str(Status.OUT_OF_MEMORY), "text": text})
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001 - the child's outermost seam: one video, one row
        text = f"the decoder failed: {type(error).__name__}: {error}"
        sink.send({"kind": "error", "status": str(Status.CRASHED), "text": text[:1000]})
        traceback.print_exc()


class _ChannelSink:
    """Sends what the decoder finds to the parent."""

    def __init__(self, channel: socket.socket, buffer: FrameBuffer, file: DescriptorFile) -> None:
        self._channel = channel
        self._buffer = buffer
        self._file = file
        self._free = True

    def plan(self, spans: Sequence[tuple[int, int]]) -> None:
        if isinstance(self._file, RangeFile):
            self._file.plan(spans)

    def info(self, info: VideoInfo, num_sampled: int, max_gap_s: float) -> None:
        self.send(
            {
                "kind": "info",
                "info": dataclasses.asdict(info),
                "num_sampled": num_sampled,
                "max_gap_s": max_gap_s,
            }
        )

    def frame(
        self, index: int, time_s: float, groups: Groups, image: npt.NDArray[np.uint8]
    ) -> None:
        if not self._free and receive_exactly(self._channel, 1) is None:
            raise BrokenPipeError
        self._buffer.write(image)
        self._free = False
        height, width, _ = image.shape
        self.send(
            {
                "kind": "frame",
                "index": index,
                "time_s": time_s,
                "groups": groups,
                "height": height,
                "width": width,
            }
        )

    def send(self, message: Message) -> None:
        cpu_ms = 1000 * time.process_time()
        send_message(self._channel, {**message, "cpu_ms": cpu_ms})


def main(decode: Decode = decode_video) -> None:
    """Serves the socket whose descriptor is the first argument."""
    # Records FFmpeg's last error for the texts of errors, and prints nothing.
    av.logging.set_level(av.logging.PANIC)
    serve(socket.socket(fileno=int(sys.argv[1])), decode)


if __name__ == "__main__":
    main()
