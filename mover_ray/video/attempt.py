"""One try at one video, seen from the worker: the child at work, and how it ends."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mover_ray.errors import InputError, StorageError
from mover_ray.status import Status
from mover_ray.video.protocol import (
    CREDIT,
    FrameBuffer,
    ProtocolError,
    create_buffer_file,
    receive_message,
)
from mover_ray.video.range_server import RangeServer
from mover_ray.video.ranged_object import RangedObject
from mover_ray.video.reports import FrameReady, Report, ReportReader
from mover_ray.video.request import DecodeRequest
from mover_ray.video.server_process import ServerLostError, ServerProcess


@dataclass(frozen=True, slots=True)
class ArchivedSequence:
    """The pictures of one folder of an archive, taken for a video."""

    descriptor: int
    """Of the archive."""
    folder: str
    """Inside the archive, without a slash at either end; empty for its top."""


#: A descriptor of the whole file, a file that fills while it is read, or an image sequence.
VideoBytes: TypeAlias = int | RangedObject | ArchivedSequence


class AttemptFailedError(Exception):
    """The child ended, or was ended, without an answer about the video."""

    def __init__(self, status: Status, message: str, *, again: bool = True) -> None:
        """Keeps what the row will say if there is no other attempt.

        Args:
            status: Outcome.
            message: What happened.
            again: Whether another attempt makes sense.
        """
        super().__init__(message)
        self.status = status
        self.again = again


class Attempt:
    """A child at work on one video."""

    def __init__(
        self, server: ServerProcess, video: VideoBytes, request: DecodeRequest, last_index: int
    ) -> None:
        """Has a child forked for the video.

        Args:
            server: Idle.
            video: It stays the caller's; the offset of a descriptor is left alone.
            request: What to decode.
            last_index: Of the frame that an earlier attempt has delivered last, or -1.

        Raises:
            ServerLostError: The server is gone.
        """
        self._server = server
        self._request = request
        self._exited = False
        self._reader = ReportReader(request, last_index)
        #: CPU milliseconds that the child had used when it sent its latest message.
        self.cpu_ms = 0.0
        with contextlib.ExitStack() as resources:
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            resources.callback(self._channel.close)
            size = 3 * request.budget.max_pixels
            memory = create_buffer_file(size)
            with theirs, _closing(memory):
                self._buffer = FrameBuffer(memory, size)
                resources.callback(self._buffer.close)
                self._ranges = self._serve_ranges(video, resources)
                message = {"kind": "run", **request.to_message()}
                passed = [descriptor_of(video), theirs.fileno(), memory]
                if self._ranges is not None:
                    passed.append(self._ranges.child_end.fileno())
                server.run(message, passed)
            self._resources = resources.pop_all()

    def next(self, timeout_s: float) -> Report:
        """Waits for the child's next message.

        Args:
            timeout_s: Longest wait for each part of it.

        Raises:
            InputError: The video cannot be used, says the child, or not be read, says the store.
            AttemptFailedError: The child crashed, met a limit, or sent nonsense.
            TimeoutError: Nothing came in time.
        """
        self._channel.settimeout(timeout_s)
        try:
            message = receive_message(self._channel)
            # Whatever a child says that was given wrong bytes, or none, is worth nothing.
            self._check_ranges()
            if message is not None:
                report, self.cpu_ms = self._reader.read(message)
                return report
        except ProtocolError as error:
            text = "the decoder sent a malformed message"
            raise AttemptFailedError(Status.CRASHED, text) from error
        self._exited = True
        try:
            status = self._server.await_exit()
        except ServerLostError as error:
            raise AttemptFailedError(Status.CRASHED, str(error)) from error
        raise _explain_exit(status, self._request)

    def take(self, frame: FrameReady) -> npt.NDArray[np.uint8]:
        """Copies the announced picture out and lets the child write the next one.

        Returns:
            uint8 RGB [H, W, 3].
        """
        image = self._buffer.read(frame.height, frame.width)
        # A child that is gone by now is noticed at the next message.
        with contextlib.suppress(ConnectionError):
            self._channel.sendall(CREDIT)
        return image

    def close(self) -> None:
        """Ends the child if it still runs, and frees everything."""
        self._resources.close()
        if not self._exited:
            self._exited = True
            self._server.kill()
            # A server that does not answer is marked as lost.
            with contextlib.suppress(ServerLostError):
                self._server.await_exit()

    def _serve_ranges(
        self, video: VideoBytes, resources: contextlib.ExitStack
    ) -> RangeServer | None:
        if not isinstance(video, RangedObject):
            return None
        ranges = RangeServer(video, on_failure=self._stop_listening)
        resources.callback(ranges.close)
        return ranges

    def _stop_listening(self) -> None:
        """Wakes `next`, which has the failure to tell."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def _check_ranges(self) -> None:
        failure = self._ranges.failure if self._ranges is not None else None
        if isinstance(failure, StorageError):
            raise InputError(failure.status, str(failure)) from failure
        if failure is not None:
            raise failure


class AttemptStarter:
    """Starts attempts, one at a time, on a server that it replaces when it is lost."""

    def __init__(self, server_module: str) -> None:
        """Keeps the module that the server runs; the server starts when it is needed."""
        self._server_module = server_module
        self._server: ServerProcess | None = None
        self._busy = False

    def start(self, video: VideoBytes, request: DecodeRequest, last_index: int) -> Attempt:
        """Starts an attempt, see there; `end` must be called before the next one.

        Raises:
            ServerLostError: A new server cannot be started.
        """
        if self._busy:
            raise RuntimeError("the video that was opened before is still open")
        attempt = self._start(video, request, last_index)
        self._busy = True
        return attempt

    def end(self, attempt: Attempt) -> None:
        """Ends an attempt, and its server if that is lost."""
        attempt.close()
        self._busy = False
        if self._server is not None and self._server.lost:
            self.close()

    def close(self) -> None:
        """Ends the server."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _start(self, video: VideoBytes, request: DecodeRequest, last_index: int) -> Attempt:
        if self._server is not None:
            try:
                return Attempt(self._server, video, request, last_index)
            except ServerLostError:
                self.close()
        self._server = ServerProcess(self._server_module)
        return Attempt(self._server, video, request, last_index)


def descriptor_of(video: VideoBytes) -> int:
    """Gives what a process that may read the video is handed."""
    return video if isinstance(video, int) else video.descriptor


def folder_of(video: VideoBytes) -> str | None:
    """Gives the folder of an image sequence; null for a video file."""
    return video.folder if isinstance(video, ArchivedSequence) else None


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _explain_exit(wait_status: int, request: DecodeRequest) -> AttemptFailedError:
    """Says why a child ended that had not finished."""
    code = os.waitstatus_to_exitcode(wait_status)
    if code >= 0:
        return AttemptFailedError(Status.CRASHED, f"decoder exited with code {code}")
    name = f"signal {-code} ({_signal_name(-code)})"
    if -code == signal.SIGSYS:
        text = "the decoder asked for what the sandbox forbids"
        return AttemptFailedError(Status.CRASHED, text, again=False)
    if -code == signal.SIGXCPU:
        text = f"decoding takes more than {request.budget.cpu_s} s of CPU time"
        return AttemptFailedError(Status.TIMEOUT, text, again=False)
    if -code == signal.SIGKILL:
        # Nobody here has sent it: the kernel does, to the process that takes most memory.
        text = f"decoder ended by {name}, most likely for want of memory on the host"
        return AttemptFailedError(Status.OUT_OF_MEMORY, text)
    return AttemptFailedError(Status.CRASHED, f"decoder ended by {name}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a real-time signal"
