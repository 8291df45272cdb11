"""Tar archives of pictures, gzipped or not, read forwards in one pass and within a budget.

The standard library's reader keeps in memory whatever size a header announces, and the headers of
a stranger have sent several of its versions into endless loops; this one cannot be asked for more
than it is allowed.
"""

import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from mover_ray.errors import InputError
from mover_ray.status import Status

#: Endings of names that are taken for pictures.
PICTURE_SUFFIXES: Final = (".jpeg", ".jpg", ".png")

_BLOCK_BYTES: Final = 512
_PIECE_BYTES: Final = 256 * 1024
# A name takes at most the 4 KiB that systems allow a path; other records of the header may be long.
_MOST_HEADER_BYTES: Final = 1 << 20
_MOST_NAME_BYTES: Final = 4096

_FILES: Final = (b"0", b"\0", b"7")
_WITHOUT_CONTENT: Final = (b"1", b"2", b"3", b"4", b"5", b"6")
_GNU_LONG_NAME: Final = b"L"
_GNU_SPARSE: Final = b"S"
_PAX: Final = b"x"
_OCTAL: Final = re.compile(rb" *([0-7]*)[ \0]*")


class DamagedArchiveError(InputError):
    """An archive breaks off, or holds what is no header; what came before is sound."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A file of an archive whose name is a picture's."""

    number: int
    """Position among the archive's pictures, from 0."""
    folder: str
    """The folder inside the archive, without `.` and empty parts; empty at the top."""
    name: str
    size_bytes: int


class PictureArchive:
    """The pictures of an archive, in the order in which they are stored.

    Links, devices, hidden files, absolute names, names with `..` and names that are not UTF-8 are
    passed over.
    """

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        """Prepares one pass.

        Args:
            file: Seekable; read from the start. It stays the caller's.
            limit_bytes: Most bytes of the archive, unpacked.

        Raises:
            InputError: The file cannot be unpacked (`corrupt`).
        """
        self._stream = _Stream(file, limit_bytes)
        # Of the last picture: what is its own, and that together with what fills its last block.
        self._content_bytes = 0
        self._unread_bytes = 0

    def __iter__(self) -> Iterator[Picture]:
        """Gives the pictures, once.

        Raises:
            DamagedArchiveError: The rest cannot be read.
            InputError: The archive is larger than allowed (`too_large`), or holds sparse files
                (`unsupported`).
        """
        numbers = itertools.count()
        announced: dict[bytes, bytes] = {}
        while True:
            self._stream.skip(self._unread_bytes)
            self._unread_bytes = 0
            block = self._stream.read(_BLOCK_BYTES)
            if not any(block):
                return
            kind, name, size = _parse_header(block)
            if kind in (_GNU_LONG_NAME, _PAX):
                announced |= self._read_extension(kind, size)
                continue
            name = announced.get(b"path", name)
            size = _decimal(announced[b"size"]) if b"size" in announced else size
            self._content_bytes = 0 if kind in _WITHOUT_CONTENT else size
            self._unread_bytes = _padded(self._content_bytes)
            place = _place(name) if kind in _FILES and not _is_sparse(announced) else None
            announced = {}
            if place is not None:
                yield Picture(next(numbers), *place, size)

    def read(self) -> bytes:
        """Gives the bytes of the picture that came last, once.

        Raises:
            DamagedArchiveError: They are not all there.
            InputError: The archive is larger than allowed (`too_large`).
        """
        data = self._stream.read(self._content_bytes)
        self._unread_bytes -= len(data)
        return data

    def _read_extension(self, kind: bytes, size: int) -> dict[bytes, bytes]:
        """Gives what an extended header says of the next file."""
        if size > _MOST_HEADER_BYTES:
            raise _damaged(f"a header of {size} bytes in the archive")
        data = self._stream.read(_padded(size))[:size]
        return _parse_pax(data) if kind == _PAX else {b"path": data.rstrip(b"\0")}


class _Stream:
    """The unpacked bytes, from the first to the last."""

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        file.seek(0)
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        self._packed = packed
        self._file: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=file) if packed else file
        self._limit_bytes = limit_bytes
        self._left_bytes = limit_bytes

    def read(self, count: int) -> bytes:
        """Gives so many bytes, no fewer."""
        self._spend(count)
        pieces = []
        while count:
            pieces.append(self._read_some(count))
            count -= len(pieces[-1])
        return b"".join(pieces)

    def skip(self, count: int) -> None:
        """Passes over so many bytes; that they are missing shows at the next read."""
        self._spend(count)
        if not self._packed:
            self._file.seek(count, io.SEEK_CUR)
            return
        while count:
            count -= len(self._read_some(count))

    def _spend(self, count: int) -> None:
        self._left_bytes -= count
        if self._left_bytes < 0:
            text = f"the archive is over the limit of {self._limit_bytes} bytes when unpacked"
            raise InputError(Status.TOO_LARGE, text)

    def _read_some(self, count: int) -> bytes:
        try:
            data = self._file.read(min(count, _PIECE_BYTES))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _damaged(f"the archive cannot be unpacked: {error}") from error
        if not data:
            raise _damaged("the archive breaks off")
        return data


def _parse_header(block: bytes) -> tuple[bytes, bytes, int]:
    """Gives the kind, the name and the size of a member."""
    checksum = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    if _number(block[148:156]) != checksum:
        raise _damaged("not a tar archive, or a damaged one: no header")
    kind, name = block[156:157], block[:100].partition(b"\0")[0]
    if kind == _GNU_SPARSE:
        raise InputError(Status.UNSUPPORTED, "the archive holds sparse files")
    # GNU's older headers, whose mark ends in blanks, keep times where POSIX has the first folders.
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return kind, b"/".join((prefix, name)) if prefix else name, _number(block[124:136])


def _number(field: bytes) -> int:
    """Reads a number of a header: octal digits or, behind a set bit, binary."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise _damaged("a header of the archive is damaged: no number")
    return int(match[1] or b"0", 8)


def _parse_pax(data: bytes) -> dict[bytes, bytes]:
    """Reads records of the form `LENGTH KEY=VALUE` and a line feed; LENGTH counts all of it."""
    records: dict[bytes, bytes] = {}
    while data:
        digits, _, _ = data[:20].partition(b" ")
        length = _decimal(digits)
        if not len(digits) < length <= len(data):
            raise _damaged("a header of the archive is damaged: no record")
        key, _, value = data[len(digits) + 1 : length - 1].partition(b"=")
        records[key] = value
        data = data[length:]
    return records


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 19:
        raise _damaged("a header of the archive is damaged: no number")
    return int(digits)


def _is_sparse(announced: dict[bytes, bytes]) -> bool:
    return any(key.startswith(b"GNU.sparse.") for key in announced)


def _place(path: bytes) -> tuple[str, str] | None:
    """Gives the folder and the name of a picture; None for what is passed over."""
    try:
        text = path.decode() if len(path) <= _MOST_NAME_BYTES else ""
    except UnicodeDecodeError:
        return None
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or text.endswith("/") or "\0" in text or ".." in parts or not parts:
        return None
    name = parts.pop()
    if name.startswith(".") or not name.lower().endswith(PICTURE_SUFFIXES):
        return None
    return "/".join(parts), name


def _damaged(message: str) -> DamagedArchiveError:
    return DamagedArchiveError(Status.CORRUPT, message)


def _padded(size: int) -> int:
    return -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
