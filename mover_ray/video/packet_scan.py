"""Lists the packets of a video stream by demuxing it once. Runs in the child only."""

from array import array
from dataclasses import dataclass, field

import av
import numpy as np

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.display_order import DisplayOrder
from mover_ray.video.packet_table import PacketTable, VideoPacket, check_clear
from mover_ray.video.source import VideoSource


@dataclass(slots=True)
class Scan:
    """What a demuxing pass found."""

    table: PacketTable | None
    """The packets, or None where they do not say when their frames are shown."""
    packets: int
    """All packets of the stream that hold something."""
    frames: int
    """Those of them that are shown."""
    damaged: bool
    """Whether an error ended the pass."""


def scan_packets(source: VideoSource, budget: VideoBudget) -> Scan:
    """Reads the video stream's packets once, without decoding.

    Raises:
        InputError: More frames than the budget has (`too_large`), or the video is encrypted
            (`unsupported`).
    """
    columns = _Columns()
    # AVI stores no times of showing: FFmpeg numbers packets as they lie in the file.
    order = DisplayOrder(source) if source.container.format.name == "avi" else None
    damaged = False
    try:
        for packet in source.container.demux(source.stream):
            if packet.size == 0:
                continue
            check_clear(packet)
            columns.append(packet)
            if order is not None:
                order.watch(packet)
            if len(columns.pts) > budget.max_frames:
                raise InputError(Status.TOO_LARGE, f"more than {budget.max_frames} frames")
    except MemoryError:
        raise
    except av.FFmpegError:
        damaged = True
    table = columns.table() if order is None or order.kept else None
    return Scan(table, len(columns.pts), sum(columns.shown), damaged)


@dataclass(slots=True)
class _Columns:
    """A table that grows by packets; arrays, for a list would take ten times their memory."""

    pts: "array[int]" = field(default_factory=lambda: array("q"))
    keyframes: bytearray = field(default_factory=bytearray)
    shown: bytearray = field(default_factory=bytearray)
    positions: "array[int]" = field(default_factory=lambda: array("q"))
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    timed: bool = True

    def append(self, packet: VideoPacket) -> None:
        self.timed = self.timed and packet.pts is not None
        self.pts.append(packet.pts or 0)
        self.keyframes.append(packet.is_keyframe)
        # What an edit list cuts is decoded for its neighbours' sake, but never shown.
        self.shown.append(not packet.is_discard)
        self.positions.append(-1 if packet.pos is None else packet.pos)
        self.sizes.append(packet.size)

    def table(self) -> PacketTable | None:
        if not self.timed or not any(self.shown):
            return None
        return PacketTable(
            pts=np.array(self.pts, dtype=np.int64),
            keyframes=np.frombuffer(self.keyframes, dtype=np.bool_),
            shown=np.frombuffer(self.shown, dtype=np.bool_),
            positions=np.array(self.positions, dtype=np.int64),
            sizes=np.array(self.sizes, dtype=np.int64),
        )
