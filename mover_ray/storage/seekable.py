"""What raw files that read by position have in common."""

import io


class SeekableFile(io.RawIOBase):
    """A file for reading that keeps a position of its own; `readinto` is the subclass's."""

    def __init__(self, size_bytes: int) -> None:
        """Starts at the first of so many bytes."""
        super().__init__()
        self._size = size_bytes
        self._position = 0

    def readable(self) -> bool:
        """Says that reading is possible."""
        return True

    def seekable(self) -> bool:
        """Says that seeking is possible."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves this object's own position, without reading."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position: {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Gives this object's own position."""
        return self._position
