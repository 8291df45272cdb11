"""A stored object as a seekable file that fetches only the ranges that are read."""

import io

from mover_ray.storage import ObjectInfo, Storage


class RangedFile(io.RawIOBase):
    """Read-only random access to an object; each read is one range request.

    Parquet's footer and column chunks are read this way, so that a reader of
    one column moves that column's bytes and no others.
    """

    def __init__(self, storage: Storage, info: ObjectInfo) -> None:
        """Opens the object version that `info` describes; nothing is read yet."""
        self._storage = storage
        self._info = info
        self._position = 0
        self.bytes_read = 0

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """Gives the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves the position; gives the new one."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._info.size_bytes}
        self._position = base[whence] + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fills the buffer from the position on; gives the number of bytes."""
        length = min(len(buffer), self._info.size_bytes - self._position)
        if length <= 0:
            return 0
        content = self._storage.read_range(
            self._info.uri, self._position, length, expect=self._info
        )
        buffer[: len(content)] = content
        self._position += len(content)
        self.bytes_read += len(content)
        return len(content)
