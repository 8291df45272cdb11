"""A file whose bytes the parent brings on request. Runs in the child only."""

import socket
import struct
from collections.abc import Sequence
from typing import Final

from mover_ray.video.descriptor import DescriptorFile
from mover_ray.video.protocol import receive_exactly, send_message

#: The parent's answer: where the stretch ends that can be read now.
REPLY: Final = struct.Struct(">Q")
#: One request may ask for no more: it is answered when all of it has come.
MOST_BYTES: Final = 16 * 2**20
# A message has room for so many.
_MOST_SPANS: Final = 1000


class RangeFile(DescriptorFile):
    """Reads what the parent says is there, and asks it for what is not."""

    def __init__(self, descriptor: int, channel: socket.socket) -> None:
        """Takes the file and a connection to a `RangeServer`; the caller closes both."""
        super().__init__(descriptor)
        self._channel = channel
        self._there = (0, 0)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Waits for the bytes, then fills `buffer`; gives at most 16 MiB at once.

        Raises:
            ConnectionError: The parent has given up.
        """
        wanted = min(len(buffer), MOST_BYTES)
        stop = min(self._position + wanted, self._size)
        if stop > self._position:
            self._ask(self._position, stop)
        return super().readinto(memoryview(buffer)[:wanted])

    def plan(self, spans: Sequence[tuple[int, int]]) -> None:
        """Tells the parent what will be read, see `FrameSink.plan`."""
        send_message(self._channel, {"kind": "plan", "spans": list(spans)[:_MOST_SPANS]})

    def _ask(self, start: int, stop: int) -> None:
        if self._there[0] <= start and stop <= self._there[1]:
            return
        send_message(self._channel, {"kind": "read", "start": start, "stop": stop})
        reply = receive_exactly(self._channel, REPLY.size)
        if reply is None:
            raise BrokenPipeError("the parent reads no more for this video")
        self._there = start, *REPLY.unpack(reply)
