"""Finds encrypted tracks in an MP4 file, which FFmpeg's demuxer does not tell apart."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

_HEADER = struct.Struct(">I4s")
_LARGE_SIZE = struct.Struct(">Q")
_MOST_BOXES = 100_000
_ENTRY_PATH = (b"mdia", b"minf", b"stbl", b"stsd")


def encrypted_tracks(file: BinaryIO) -> frozenset[int]:
    """Gives the ids of the video tracks whose sample description says encrypted (`encv`).

    FFmpeg replaces `encv` by the format it hides and decodes the cipher text as if it were
    clear, which for AV1 gives pictures without an error.

    Args:
        file: A file in the ISO base media format; anything else has no such track. Damaged
            boxes end the search.
    """
    file.seek(0, 2)
    found: set[int] = set()
    for kind, start, end in _boxes(file, 0, file.tell()):
        if kind == b"moov":
            tracks = (box for box in _boxes(file, start, end) if box[0] == b"trak")
            found.update(
                _track_id(file, *track[1:]) for track in tracks if _is_encrypted(file, *track[1:])
            )
    return frozenset(found)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Gives (kind, start of content, end) of each box that lies in [start, end)."""
    for _ in range(_MOST_BOXES):
        file.seek(start)
        header = file.read(_HEADER.size + _LARGE_SIZE.size)
        if start >= end or len(header) < _HEADER.size:
            return
        size, kind = _HEADER.unpack_from(header)
        content = start + _HEADER.size
        if size == 1 and len(header) == _HEADER.size + _LARGE_SIZE.size:
            (size,) = _LARGE_SIZE.unpack_from(header, _HEADER.size)
            content += _LARGE_SIZE.size
        stop = end if size == 0 else start + size
        if stop < content or stop > end:
            return
        yield kind, content, stop
        start = stop


def _find(file: BinaryIO, start: int, end: int, kind: bytes) -> tuple[int, int] | None:
    return next((box[1:] for box in _boxes(file, start, end) if box[0] == kind), None)


def _is_encrypted(file: BinaryIO, start: int, end: int) -> bool:
    """Looks through the sample descriptions of one `trak` box."""
    for kind in _ENTRY_PATH:
        inner = _find(file, start, end, kind)
        if inner is None:
            return False
        start, end = inner
    # Version, flags and the number of entries come before the entries.
    return any(kind == b"encv" for kind, *_ in _boxes(file, start + 8, end))


def _track_id(file: BinaryIO, start: int, end: int) -> int:
    """Reads the track id, by which FFmpeg numbers streams too; 0 if the header is damaged."""
    header = _find(file, start, end, b"tkhd")
    if header is None:
        return 0
    file.seek(header[0])
    content = file.read(24)
    # Two dates stand before the id, of 8 bytes each from version 1 on.
    offset = 20 if content[:1] == b"\x01" else 12
    return int.from_bytes(content[offset : offset + 4], "big")
