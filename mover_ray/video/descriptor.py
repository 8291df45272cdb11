"""A file object over a descriptor whose offset other processes share."""

import io
import os


class DescriptorFile(io.RawIOBase):
    """Reads by position, so that neither the parent nor a second attempt is disturbed."""

    def __init__(self, descriptor: int) -> None:
        """Takes an open, regular file; the caller closes the descriptor."""
        super().__init__()
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._position = 0

    def readable(self) -> bool:
        """Says that reading is possible."""
        return True

    def seekable(self) -> bool:
        """Says that seeking is possible."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fills `buffer` as far as the file goes and gives the number of bytes."""
        data = os.pread(self._descriptor, len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves this object's own position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position: {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Gives this object's own position."""
        return self._position
