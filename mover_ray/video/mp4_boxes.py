"""Reads boxes of an MP4 file that FFmpeg's demuxer does not tell about."""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_HEADER = struct.Struct(">I4s")
_LARGE_SIZE = struct.Struct(">Q")
_MOST_BOXES = 100_000


class Box(NamedTuple):
    """Where the content of a box lies in the file."""

    kind: bytes
    """Four letters."""
    start: int
    """First byte of the content."""
    end: int
    """One behind the last byte."""


def movie_box(file: BinaryIO) -> Box | None:
    """Finds the first `moov` box, the only one that FFmpeg reads.

    Args:
        file: A file in the ISO base media format; anything else has no such box. Damaged boxes
            end the search.
    """
    file.seek(0, 2)
    return find_box(file, Box(b"", 0, file.tell()), b"moov")


def track_boxes(file: BinaryIO, movie: Box) -> list[tuple[int, Box]]:
    """Gives each `trak` box with its track id, by which FFmpeg numbers streams too.

    A track whose header is damaged has the id 0.
    """
    tracks = [box for box in _boxes(file, movie) if box.kind == b"trak"]
    return [(_track_id(file, track), track) for track in tracks]


def find_box(file: BinaryIO, within: Box, *path: bytes) -> Box | None:
    """Goes down a path of box kinds, each time into the first box of that kind."""
    found: Box | None = within
    for kind in path:
        found = next((box for box in _boxes(file, within) if box.kind == kind), None)
        if found is None:
            return None
        within = found
    return found


def read_fully(file: BinaryIO, count: int) -> bytes:
    """Reads so many bytes, or what there is up to the end, however many reads that takes."""
    data = bytearray()
    while part := file.read(count - len(data)):
        data += part
    return bytes(data)


def encrypted_tracks(file: BinaryIO) -> frozenset[int]:
    """Gives the ids of the video tracks whose sample description says encrypted (`encv`).

    FFmpeg replaces `encv` by the format it hides and decodes the cipher text as if it were
    clear, which for AV1 gives pictures without an error.

    Args:
        file: As `movie_box`.
    """
    movie = movie_box(file)
    if movie is None:
        return frozenset()
    tracks = track_boxes(file, movie)
    return frozenset(number for number, track in tracks if _is_encrypted(file, track))


def _boxes(file: BinaryIO, within: Box) -> Iterator[Box]:
    """Gives each box that lies whole in the content of another."""
    start, end = within.start, within.end
    for _ in range(_MOST_BOXES):
        file.seek(start)
        header = read_fully(file, _HEADER.size + _LARGE_SIZE.size)
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
        yield Box(kind, content, stop)
        start = stop


def _is_encrypted(file: BinaryIO, track: Box) -> bool:
    descriptions = find_box(file, track, b"mdia", b"minf", b"stbl", b"stsd")
    if descriptions is None:
        return False
    # Version, flags and the number of entries come before the entries.
    entries = descriptions._replace(start=descriptions.start + 8)
    return any(entry.kind == b"encv" for entry in _boxes(file, entries))


def _track_id(file: BinaryIO, track: Box) -> int:
    header = find_box(file, track, b"tkhd")
    if header is None:
        return 0
    file.seek(header.start)
    content = read_fully(file, 24)
    # Two dates stand before the id, of 8 bytes each from version 1 on.
    offset = 20 if content[:1] == b"\x01" else 12
    return int.from_bytes(content[offset : offset + 4], "big")
