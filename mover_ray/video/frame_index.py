"""The list of a video's frames, by demuxing it once. Runs in the child only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import Timeline
from mover_ray.video.source import VideoSource

#: Presentation time in ticks, where there is one, and whether decoding can start here.
Entry = tuple[int | None, bool]


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """When each frame of a video is shown, in ticks."""

    pts: npt.NDArray[np.int64]
    """[F], strictly ascending, at least one."""
    keyframes: npt.NDArray[np.bool_]
    """[F], True where decoding can start."""
    tick_s: Fraction
    """Seconds of one tick."""
    last_ticks: int
    """Ticks for which the last frame is shown."""
    timed: bool
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


@dataclass(slots=True)
class Scan:
    """What a demuxing pass found."""

    entries: list[Entry] = field(default_factory=list)
    """Of each packet that holds a frame to be shown, in storage order."""
    packets: int = 0
    """All packets of the stream."""
    encrypted: bool = False
    """Whether a packet came with the description of its encryption."""
    damaged: bool = False
    """Whether an error ended the pass."""


def scan_packets(source: VideoSource, budget: VideoBudget) -> Scan:
    """Reads the video stream's packets once, without decoding.

    Raises:
        InputError: More frames than the budget has (`too_large`).
    """
    scan = Scan()
    try:
        for packet in source.container.demux(source.stream):
            if packet.size == 0:
                continue
            scan.packets += 1
            scan.encrypted = scan.encrypted or packet.has_sidedata("encryption_info")
            # What an edit list cuts is decoded for its neighbours' sake, but never shown.
            if not packet.is_discard:
                scan.entries.append((packet.pts, packet.is_keyframe))
            if scan.packets > budget.max_frames:
                raise InputError(Status.TOO_LARGE, f"more than {budget.max_frames} frames")
    except MemoryError:
        raise
    except av.FFmpegError:
        scan.damaged = True
    return scan


def index_packets(scan: Scan, source: VideoSource) -> FrameIndex | None:
    """Makes an index of the packets of a scan that found some.

    Returns:
        The index, or None where packets do not tell when their frames are shown.
    """
    # AVI stores no presentation times: FFmpeg numbers packets as they lie in the file, which is
    # another order where frames refer to later ones.
    if source.container.format.name == "avi" or any(pts is None for pts, _ in scan.entries):
        return None
    return build_index(sorted(scan.entries, key=lambda entry: entry[0] or 0), source)


def build_index(entries: Sequence[Entry], source: VideoSource) -> FrameIndex | None:
    """Makes an index by presentation times.

    Args:
        entries: At least one, in display order.
        source: For the time base and the nominal rate.

    Returns:
        The index, or None where times are missing or do not ascend.
    """
    known = [(pts, keyframe) for pts, keyframe in entries if pts is not None]
    tick_s = source.stream.time_base
    if len(known) < len(entries) or tick_s is None:
        return None
    pts = np.array([entry[0] for entry in known], dtype=np.int64)
    steps = np.diff(pts)
    if (steps <= 0).any():
        return None
    keyframes = np.array([entry[1] for entry in known], dtype=np.bool_)
    # A frame's own duration is often wrong or absent; the usual distance is not.
    last_ticks = int(np.median(steps)) if len(steps) else _nominal_ticks(source, tick_s)
    return FrameIndex(pts, keyframes, tick_s, last_ticks, timed=True)


def count_index(entries: Sequence[Entry], source: VideoSource) -> FrameIndex:
    """Numbers frames in display order at the nominal rate, for want of times.

    Args:
        entries: At least one, in display order.
        source: For the nominal rate.

    Raises:
        InputError: The container states no rate either (`corrupt`).
    """
    rate = _nominal_rate(source)
    if rate is None:
        raise InputError(Status.CORRUPT, "neither frame times nor a frame rate are stored")
    keyframes = np.array([keyframe for _, keyframe in entries], dtype=np.bool_)
    return FrameIndex(np.arange(len(entries)), keyframes, 1 / rate, 1, timed=False)


def _nominal_rate(source: VideoSource) -> Fraction | None:
    rate = source.stream.average_rate or source.stream.guessed_rate
    return rate if rate and rate > 0 else None


def _nominal_ticks(source: VideoSource, tick_s: Fraction) -> int:
    rate = _nominal_rate(source)
    return round(1 / (rate * tick_s)) if rate else 0
