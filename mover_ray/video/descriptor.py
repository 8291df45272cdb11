"""A file object over a descriptor whose offset other processes share."""

import os

from mover_ray.storage.seekable import SeekableFile


class DescriptorFile(SeekableFile):
    """Reads by position, so that neither the parent nor a second attempt is disturbed."""

    def __init__(self, descriptor: int) -> None:
        """Takes an open, regular file; the caller closes the descriptor."""
        super().__init__(os.fstat(descriptor).st_size)
        self._descriptor = descriptor

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fills `buffer` as far as the file goes and gives the number of bytes."""
        data = os.pread(self._descriptor, len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
