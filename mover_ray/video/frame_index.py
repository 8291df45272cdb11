"""The list of a video's frames in display order. Runs in the child only."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.packet_table import PacketTable
from mover_ray.video.sampling import Timeline

#: Presentation time in ticks, where there is one, and whether decoding can start here.
Entry = tuple[int | None, bool]


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """When each frame of a video is shown, in ticks."""

    pts: npt.NDArray[np.int64]
    """[F], strictly ascending, at least one."""
    keyframes: npt.NDArray[np.bool_]
    """[F], True where decoding can start."""
    packets: npt.NDArray[np.int64]
    """[F], number of each frame's packet in storage order."""
    tick_s: Fraction
    """Seconds of one tick."""
    last_ticks: int
    """Ticks for which the last frame is shown."""
    timed: bool = True
    """Whether `pts` are the container's own; else frames can only be counted."""

    def timeline(self) -> Timeline:
        """Gives the same in seconds from the first frame."""
        times_s = (self.pts - self.pts[0]) * float(self.tick_s)
        duration_s = float(times_s[-1]) + self.last_ticks * float(self.tick_s)
        return Timeline(times_s, self.keyframes, duration_s)

    def fps(self) -> float | None:
        """Gives the mean number of frames a second, or None for a single frame."""
        span = int(self.pts[-1] - self.pts[0])
        return float((len(self.pts) - 1) / (span * self.tick_s)) if span else None

    def position(self, ticks: int) -> int:
        """Gives the number of the frame that is shown at a time, not before the first one's."""
        return int(np.searchsorted(self.pts, ticks, side="right")) - 1


def index_packets(table: PacketTable, stream: VideoStream) -> FrameIndex | None:
    """Makes an index of the packets whose frames are shown.

    Args:
        table: At least one frame is shown.
        stream: For the time base and the nominal rate.

    Returns:
        The index, or None where two frames claim the same time.
    """
    packets = np.flatnonzero(table.shown)
    packets = packets[np.argsort(table.pts[packets], kind="stable")]
    return _index(table.pts[packets], table.keyframes[packets], packets, stream)


def index_frames(entries: Sequence[Entry], stream: VideoStream) -> FrameIndex:
    """Makes an index of decoded frames.

    Frames are numbered at the nominal rate where times are missing or do not ascend.

    Args:
        entries: At least one, in display order.
        stream: As `index_packets`.

    Raises:
        InputError: Neither times nor a rate are stored (`corrupt`).
    """
    keyframes = np.array([keyframe for _, keyframe in entries], dtype=np.bool_)
    numbers = np.arange(len(entries))
    known = [pts for pts, _ in entries if pts is not None]
    if len(known) == len(entries):
        index = _index(np.array(known, dtype=np.int64), keyframes, numbers, stream)
        if index is not None:
            return index
    rate = _nominal_rate(stream)
    if rate is None:
        raise InputError(Status.CORRUPT, "neither frame times nor a frame rate are stored")
    return FrameIndex(numbers, keyframes, numbers, 1 / rate, last_ticks=1, timed=False)


def _index(
    pts: npt.NDArray[np.int64],
    keyframes: npt.NDArray[np.bool_],
    packets: npt.NDArray[np.int64],
    stream: VideoStream,
) -> FrameIndex | None:
    """Takes times in display order; gives None if they do not ascend or have no unit."""
    steps = np.diff(pts)
    tick_s = stream.time_base
    if tick_s is None or (steps <= 0).any():
        return None
    # A frame's own duration is often wrong or absent; the usual distance is not.
    last_ticks = int(np.median(steps)) if len(steps) else _nominal_ticks(stream, tick_s)
    return FrameIndex(pts, keyframes, packets, tick_s, last_ticks)


def _nominal_rate(stream: VideoStream) -> Fraction | None:
    rate = stream.average_rate or stream.guessed_rate
    return rate if rate and rate > 0 else None


def _nominal_ticks(stream: VideoStream, tick_s: Fraction) -> int:
    rate = _nominal_rate(stream)
    return round(1 / (rate * tick_s)) if rate else 0
