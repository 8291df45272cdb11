"""Finds the frames of a video in the cheapest way that is exact. Runs in the child only."""

from dataclasses import dataclass

import av

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.decoder import PacketDecoder, PacketReader, decode_all
from mover_ray.video.frame_index import FrameIndex, index_frames, index_packets
from mover_ray.video.packet_scan import scan_packets
from mover_ray.video.packet_table import PacketTable
from mover_ray.video.sample_table import calibrate, is_mp4, read_sample_table
from mover_ray.video.source import VideoSource, open_source
from mover_ray.video.window_file import WindowFile


@dataclass(frozen=True, slots=True)
class FrameList:
    """The frames of a video, and where their packets are."""

    index: FrameIndex
    """The frames in display order."""
    table: PacketTable | None
    """The packets in storage order; None where decoding must be linear."""
    source: VideoSource
    """The open container."""
    reader: PacketReader
    """Of the source; at the first packet where there is a table."""
    truncated: bool
    """Whether packets are missing that the container announces."""


def list_frames(file: WindowFile, budget: VideoBudget) -> FrameList:
    """Lists the frames by the header, else by all packets, else by decoding all of them.

    Args:
        file: At any position.
        budget: Limits.

    Raises:
        InputError: The video cannot be used.
        MemoryError: The limit on memory was met.
    """
    source = open_source(file.binary, budget)
    table = read_sample_table(source, file.binary, budget)
    found = None if table is None else _by_header(source, table)
    if found is None:
        if table is not None:
            source = open_source(file.binary, budget)
        found = _by_packets(source, file, budget)
    duration_s = found.index.timeline().duration_s
    if duration_s > budget.max_duration_s:
        raise InputError(
            Status.TOO_LARGE,
            f"{duration_s:.0f} s are over the limit of {budget.max_duration_s:.0f} s",
        )
    return found


def _by_header(source: VideoSource, listed: PacketTable) -> FrameList | None:
    """Lists the frames by the header's table, or gives None where that does not fit."""
    reader = PacketReader(source)
    try:
        table = calibrate(listed, reader.peek())
    except av.FFmpegError:
        return None
    index = None if table is None else index_packets(table, source.stream)
    if table is None or index is None:
        return None
    # The file holds all of the table, or there would be none.
    return FrameList(index, _plannable(table), source, reader, truncated=False)


def _by_packets(source: VideoSource, file: WindowFile, budget: VideoBudget) -> FrameList:
    """Lists the frames by reading all packets of a source that nothing has been read from."""
    file.expect_all()
    scan = scan_packets(source, budget)
    if not scan.frames:
        raise InputError(Status.CORRUPT, "the video stream holds no frames")
    truncated = scan.damaged or scan.packets < _announced(source)
    table = scan.table
    index = None if table is None else index_packets(table, source.stream)
    if index is None:
        table = None
        index = _index_by_decoding(open_source(file.binary, budget))
    reader = PacketReader(source)
    table = _plannable(table)
    if table is not None and not reader.rewind(table):
        source = open_source(file.binary, budget)
        reader = PacketReader(source)
    return FrameList(index, table, source, reader, truncated)


def _announced(source: VideoSource) -> int:
    """Gives the number of packets that the container announces, 0 if none."""
    if is_mp4(source):
        # An edit list may leave out some that the header counts.
        return len(source.stream.index_entries)
    return source.stream.frames


def _index_by_decoding(source: VideoSource) -> FrameIndex:
    """Lists the frames that a full decode shows; costs a second decode."""
    decoder = PacketDecoder(source.stream)
    frames = decode_all(PacketReader(source), decoder)
    entries = [(frame.pts, frame.key_frame) for frame in frames]
    if not entries:
        raise decoder.no_frame_error()
    return index_frames(entries, source.stream)


def _plannable(table: PacketTable | None) -> PacketTable | None:
    # Where the first frames miss what they refer to, decoders disagree about what they show.
    return table if table is not None and table.starts_clean() else None
