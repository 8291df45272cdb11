"""A file read in few, large pieces, for one whose every read is a request over the network."""

import io
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import BinaryIO, Final, TypeAlias, cast

from mover_ray.storage.seekable import SeekableFile

# Where nothing is known yet, pieces grow as long as one follows the other.
_FIRST_BYTES: Final = 128 * 1024
_MOST_BYTES: Final = 4 * 2**20
# FFmpeg goes back and forth between the header and the first packets.
_MOST_WINDOWS: Final = 4

Announce: TypeAlias = Callable[[Sequence[tuple[int, int]]], None]


class WindowFile(SeekableFile):
    """Keeps the pieces that it has read last."""

    def __init__(self, file: BinaryIO, announce: Announce) -> None:
        """Prepares the reading.

        Args:
            file: Seekable; it stays the caller's.
            announce: Told which stretches will be read, as soon as that is known.
        """
        super().__init__(file.seek(0, io.SEEK_END))
        self._file = file
        self._announce = announce
        self._windows: list[tuple[int, bytes]] = []
        self._extents: Sequence[tuple[int, int]] = ()

    @property
    def binary(self) -> BinaryIO:
        """This object, for what is declared to take a binary file."""
        return cast("BinaryIO", self)

    def expect(self, extents: Sequence[tuple[int, int]]) -> None:
        """Says which stretches will be read: each is, in as few pieces as possible.

        Args:
            extents: (first byte, one behind the last byte), ascending.
        """
        self._extents = extents
        self._announce(extents)

    def expect_all(self) -> None:
        """Says that the whole file will be read."""
        self.expect([(0, self._size)])

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fills `buffer` up to the end of a piece; gives the number of bytes, 0 at the end."""
        start, window = self._window()
        offset = self._position - start
        data = window[offset : offset + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _window(self) -> tuple[int, bytes]:
        """Gives a piece that holds the byte at the position, and where it starts."""
        for number, (start, data) in enumerate(self._windows):
            if start <= self._position < start + len(data):
                self._windows.append(self._windows.pop(number))
                return start, data
        count = min(self._piece_bytes(), self._size - self._position)
        if count <= 0:
            return self._position, b""
        self._file.seek(self._position)
        data = self._file.read(count)
        self._windows = [*self._windows[1 - _MOST_WINDOWS :], (self._position, data)]
        return self._position, data

    def _piece_bytes(self) -> int:
        place = bisect_right(self._extents, self._position, key=lambda extent: extent[0]) - 1
        if place >= 0 and self._position < self._extents[place][1]:
            return min(_MOST_BYTES, self._extents[place][1] - self._position)
        for start, data in self._windows:
            if start + len(data) == self._position and not self._extents:
                return min(_MOST_BYTES, 2 * len(data))
        return _FIRST_BYTES
