"""Messages and pictures between a worker, its decode server and the server's children.

A message is a JSON object behind its length. Pictures go through shared memory: the child
writes one, announces it, and waits for a byte before it writes the next.
"""

import json
import mmap
import os
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Message = dict[str, Any]

_LENGTH: Final = struct.Struct(">I")
#: Longer messages are refused unread: the sender may be a poisoned process.
MAX_MESSAGE_BYTES: Final = 64 * 1024
#: What the parent sends when it has copied the picture out.
CREDIT: Final = b"+"


class ProtocolError(Exception):
    """The other side sent something that is no message, or ended in the middle of one."""


def send_message(channel: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Sends one message whole, with descriptors of open files along with it.

    Raises:
        OSError: The other side is gone.
    """
    body = json.dumps(message).encode()
    data = _LENGTH.pack(len(body)) + body
    sent = socket.send_fds(channel, [data], list(descriptors)) if descriptors else 0
    channel.sendall(data[sent:])


def receive_message(channel: socket.socket) -> Message | None:
    """Waits for one message; None if the other side has closed between two messages.

    Raises:
        ProtocolError: Not a message, or a cut one.
        TimeoutError: The channel's time-out has passed.
    """
    header = receive_exactly(channel, _LENGTH.size)
    return None if header is None else _receive_body(channel, header)


def receive_request(channel: socket.socket, descriptors: int) -> tuple[Message, list[int]] | None:
    """As `receive_message`, with up to so many descriptors, which the caller closes."""
    header, received, _, _ = socket.recv_fds(channel, _LENGTH.size, descriptors)
    if not header:
        return None
    rest = receive_exactly(channel, _LENGTH.size - len(header))
    return _receive_body(channel, header + (rest or b"")), received


def receive_exactly(channel: socket.socket, count: int) -> bytes | None:
    """Waits for `count` bytes; None if the other side has closed before the first.

    Raises:
        ProtocolError: The other side has closed after the first.
        TimeoutError: The channel's time-out has passed before all of them were there.
    """
    data = bytearray()
    patience_s = channel.gettimeout()
    deadline = None if patience_s is None else time.monotonic() + patience_s
    try:
        while len(data) < count:
            # A socket's own time-out starts anew with each byte that drips in.
            if deadline is not None:
                channel.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                part = channel.recv(count - len(data))
            except ConnectionError:
                part = b""
            if not part:
                break
            data += part
    finally:
        if deadline is not None:
            channel.settimeout(patience_s)
    if data and len(data) < count:
        raise ProtocolError("the message was cut")
    return bytes(data) if data or count == 0 else None


def _receive_body(channel: socket.socket, header: bytes) -> Message:
    (length,) = _LENGTH.unpack(header)
    if length > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"a message of {length} bytes was announced")
    body = receive_exactly(channel, length)
    try:
        message = json.loads(body or b"")
    except (ValueError, RecursionError) as error:
        raise ProtocolError("the message is not JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("the message is not an object")
    return message


class FrameBuffer:
    """Shared memory for one picture of one video.

    Made anew for every video, so that no child sees what another one has decoded.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        """Maps a file of at least `size` bytes; the descriptor stays the caller's."""
        self._map = mmap.mmap(descriptor, size)

    def write(self, image: npt.NDArray[np.uint8]) -> None:
        """Copies a picture of any strides to the start, row after row."""
        np.copyto(self._view(image.shape), image)

    def read(self, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Gives a copy, uint8 [H, W, 3], which the child cannot alter any more."""
        return self._view((height, width, 3)).copy()

    def close(self) -> None:
        """Unmaps the memory."""
        self._map.close()

    def _view(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        return np.ndarray(shape, dtype=np.uint8, buffer=self._map)


def create_buffer_file(size: int) -> int:
    """Gives the descriptor of a nameless file of `size` bytes, all of them holes.

    On Linux it lies in memory and is sealed: a child that cut it short would kill a parent that
    reads it. Elsewhere it is an unlinked temporary file without that protection.
    """
    if sys.platform == "linux":
        import fcntl

        descriptor = os.memfd_create("mover-ray-frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, size)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        return descriptor
    with tempfile.TemporaryFile() as file:
        os.ftruncate(file.fileno(), size)
        return os.dup(file.fileno())
