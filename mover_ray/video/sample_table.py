"""The packets of an MP4 file, read from its header alone. Runs in the child only.

FFmpeg reads the sample tables when it opens the file and applies the edit list, and PyAV shows
the result; only the distances between decoding and showing are missing, and are read here.
"""

import dataclasses
import struct
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.mp4_boxes import Box, find_box, movie_box, read_fully, track_boxes
from mover_ray.video.packet_table import PacketTable, VideoPacket
from mover_ray.video.source import VideoSource

_ENTRY: Final = np.dtype(
    [("pos", "i8"), ("size", "i8"), ("dts", "i8"), ("keyframe", "?"), ("discard", "?")]
)
_RUN: Final = np.dtype([("samples", ">u4"), ("offset", ">i4")])
_COUNT: Final = struct.Struct(">4xI")
# One of these may lie behind invisible packets, which only their own bytes tell.
_WITH_HIDDEN_FRAMES: Final = frozenset({"vp8"})


def is_mp4(source: VideoSource) -> bool:
    """Tells whether the container is MP4 or one of its kin."""
    return source.container.format.name.startswith("mov,")


def read_sample_table(
    source: VideoSource, file: BinaryIO, budget: VideoBudget
) -> PacketTable | None:
    """Lists the packets of the video stream without reading them.

    Args:
        source: Opened from `file`.
        file: Left at its position.
        budget: Limits the number of packets.

    Returns:
        The table with times up to a constant, see `calibrate`; or None where the header does not
        hold all of it, or not beyond doubt: another container, fragments, a cut file,
        contradictory tables, an edit list that drops samples.

    Raises:
        InputError: More frames than the budget has (`too_large`).
    """
    # FFmpeg would not notice that the file's position has moved.
    position = file.tell()
    try:
        return _read(source, file, budget)
    finally:
        file.seek(position)


def calibrate(table: PacketTable, first: VideoPacket | None) -> PacketTable | None:
    """Takes the constant that is missing from a table's times from the first packet.

    Returns:
        The table with the times of packets, or None where it does not tell of that packet.
    """
    listed = (table.positions[0], table.sizes[0], bool(table.keyframes[0]))
    if first is None or first.pts is None:
        return None
    if (first.pos, first.size, first.is_keyframe) != listed:
        return None
    # An array, because the difference of hostile times may need more bits.
    shift = np.array([first.pts]) - table.pts[:1]
    # FFmpeg takes what it is asked to seek for a time of showing, and subtracts the same.
    seek_ticks = None if table.seek_ticks is None else table.seek_ticks + shift
    return dataclasses.replace(table, pts=table.pts + shift, seek_ticks=seek_ticks)


def _read(source: VideoSource, file: BinaryIO, budget: VideoBudget) -> PacketTable | None:
    movie = movie_box(file) if is_mp4(source) else None
    if movie is None or find_box(file, movie, b"mvex") is not None:
        return None
    if source.stream.codec_context.codec.canonical_name in _WITH_HIDDEN_FRAMES:
        return None
    count = len(source.stream.index_entries)
    if count > budget.max_frames:
        raise InputError(
            Status.TOO_LARGE, f"{count} frames are over the limit of {budget.max_frames}"
        )
    entries = _entries(source, count)
    offsets = _composition_offsets(file, _track(file, movie, source.stream.id), count)
    if offsets is None or not _is_whole(entries, file):
        return None
    table = _table(entries, entries["dts"] + offsets, source)
    return table if table.shown.any() else None


def _entries(source: VideoSource, count: int) -> npt.NDArray[np.void]:
    rows = (
        (entry.pos, entry.size, entry.timestamp, entry.is_keyframe, entry.is_discard)
        for entry in source.stream.index_entries
    )
    return np.fromiter(rows, dtype=_ENTRY, count=count)


def _track(file: BinaryIO, movie: Box, number: int) -> Box | None:
    return next((box for found, box in track_boxes(file, movie) if found == number), None)


def _composition_offsets(
    file: BinaryIO, track: Box | None, samples: int
) -> npt.NDArray[np.int64] | None:
    """Reads how long after its decoding each sample is shown, up to a constant.

    Returns:
        int64 [samples], in ticks; or None where the box is damaged or tells of another number.
    """
    table = None if track is None else find_box(file, track, b"mdia", b"minf", b"stbl")
    if table is None:
        return None
    box = find_box(file, table, b"ctts")
    if box is None:
        return np.zeros(samples, dtype=np.int64)
    file.seek(box.start)
    header = read_fully(file, _COUNT.size)
    runs = _COUNT.unpack(header)[0] if len(header) == _COUNT.size else 0
    if runs > samples or box.start + _COUNT.size + runs * _RUN.itemsize > box.end:
        return None
    content = np.frombuffer(read_fully(file, runs * _RUN.itemsize), dtype=_RUN)
    if int(content["samples"].sum(dtype=np.int64)) != samples:
        return None
    return np.repeat(content["offset"].astype(np.int64), content["samples"])


def _is_whole(entries: npt.NDArray[np.void], file: BinaryIO) -> bool:
    """Tells whether the file holds every packet."""
    # Sizes have 32 bits and positions 63: their sum may be too much.
    last = file.seek(0, 2) - entries["size"]
    return len(entries) > 0 and bool(((entries["pos"] >= 0) & (entries["pos"] <= last)).all())


def _table(
    entries: npt.NDArray[np.void], pts: npt.NDArray[np.int64], source: VideoSource
) -> PacketTable:
    held = entries["size"] > 0
    found = entries[held]
    intra_only = source.stream.codec_context.codec.intra_only
    return PacketTable(
        pts=pts[held],
        keyframes=found["keyframe"] | intra_only,
        shown=~found["discard"],
        positions=found["pos"],
        sizes=found["size"],
        seek_ticks=found["dts"],
    )
