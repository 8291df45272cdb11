"""Brings a child the bytes that it asks for.

Requests go over a socket of their own to a thread of their own in the worker. That thread waits
for nobody but the store, whose requests have time-outs; it never waits for the consumer of the
frames. So whichever way child and consumer wait for each other's frames and credits, a request
for bytes is answered, and no circle of waiting can close.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

from mover_ray.video.protocol import (
    Message,
    ProtocolError,
    receive_message,
)
from mover_ray.video.range_file import MOST_BYTES, REPLY
from mover_ray.video.ranged_object import BLOCK_BYTES, RangedObject

#: A sound child asks once for every stretch that it enters; these are allowed beyond that.
_SPARE_REQUESTS: Final = 100_000
_MOST_PLANS: Final = 100


class RangeServer:
    """A thread that answers one child."""

    def __init__(self, video: RangedObject, on_failure: Callable[[], None]) -> None:
        """Starts answering.

        Args:
            video: What the child reads; it stays the caller's.
            on_failure: Called by the thread when `failure` has been set.
        """
        self._video = video
        self._on_failure = on_failure
        self._reads_left = _SPARE_REQUESTS + 16 * (video.size_bytes // BLOCK_BYTES)
        self._plans_left = _MOST_PLANS
        #: Why no more bytes are given: a `StorageError`, a `ProtocolError` or a bug.
        self.failure: Exception | None = None
        self._channel, self.child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, name="mover-ray-ranges", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the answers; waits for the thread, unless the store keeps it waiting."""
        self.child_end.close()
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._thread.join(1.0)

    def _serve(self) -> None:
        with self._channel:
            try:
                self._answer_all()
            except ConnectionError:
                # The child has ended, or `close` was called.
                return
            except Exception as error:  # noqa: BLE001 - raised again in the consumer's thread
                self.failure = error
                self._on_failure()

    def _answer_all(self) -> None:
        while (message := receive_message(self._channel)) is not None:
            if message.get("kind") == "read":
                self._read(message)
            elif message.get("kind") == "plan":
                self._plan(message)
            else:
                raise ProtocolError("no request for bytes")

    def _read(self, message: Message) -> None:
        start, stop = _span([message.get("start"), message.get("stop")], self._video.size_bytes)
        self._reads_left -= 1
        if stop - start > MOST_BYTES or self._reads_left < 0:
            raise ProtocolError("too much is asked for")
        self._channel.sendall(REPLY.pack(self._video.require(start, stop)))

    def _plan(self, message: Message) -> None:
        spans = message.get("spans")
        self._plans_left -= 1
        if type(spans) is not list or self._plans_left < 0:
            raise ProtocolError("no plan, or too many")
        self._video.plan([_span(span, self._video.size_bytes) for span in spans])


def _span(value: Any, size: int) -> tuple[int, int]:
    """Checks what a child calls a stretch of the file."""
    if type(value) is list and [type(one) for one in value] == [int, int]:
        start, stop = value
        if 0 <= start < stop <= size:
            return start, stop
    raise ProtocolError("no stretch of the file")
