"""How the frames of a track become segments of equal length."""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

#: A clip ends where the next frame comes this many times later than frames of the track
#: usually do: one face that was missed does not end it, the gap between two clips does.
_BREAK = 2.5


def cut_track(times_s: NDArray[np.float64], segment_frames: int, *, clips: bool) -> Indices:
    """Cuts a track into segments: positions in it [S, T].

    Args:
        times_s: When each frame of the track is shown, ascending; at least one.
        segment_frames: T, the frames of one segment; at least 1.
        clips: Whether a detector looks at motion: see `clip_indices` and, for the others,
            `segment_indices`.
    """
    if clips:
        return clip_indices(times_s, segment_frames)
    return segment_indices(len(times_s), segment_frames)


def segment_indices(num_frames: int, segment_frames: int) -> Indices:
    """Covers a track with as few segments of neighbouring frames as possible.

    Segments are spread evenly, so that neighbours overlap where the length of the
    track is no multiple of T. A track shorter than T is one segment that repeats
    its frames in turn (0, 1, 2, 0, 1): each frame keeps nearly the same weight in a
    mean, and a repetition is never a still picture.

    Args:
        num_frames: Frames of the track, in time order; at least 1.
        segment_frames: T, the frames of one segment; at least 1.

    Returns:
        Positions in the track [S, T]; every frame occurs at least once.
    """
    if num_frames < 1 or segment_frames < 1:
        raise ValueError(f"nothing to segment: {num_frames} frames by {segment_frames}")
    steps_T = np.arange(segment_frames, dtype=np.int64)
    if num_frames <= segment_frames:
        return steps_T[None] % num_frames
    num_segments = -(-num_frames // segment_frames)
    last_start = num_frames - segment_frames
    starts_S = np.arange(num_segments, dtype=np.int64) * last_start // (num_segments - 1)
    return starts_S[:, None] + steps_T[None]


def clip_indices(times_s: NDArray[np.float64], segment_frames: int) -> Indices:
    """Covers the clips of a track; no segment leads from one clip into another.

    Clips are told apart by time alone, so that the crops of a training corpus and those
    of a video that is scored become the same segments. A clip of fewer than T frames is
    stretched. Clips of less than half of T, of which most would be still, are left out
    where the track has longer ones.

    Args:
        times_s: When each frame of the track is shown, ascending; at least one.
        segment_frames: T, the frames of one segment; at least 1.

    Returns:
        Positions in the track [S, T], ascending in each segment.
    """
    gaps_s = np.diff(times_s)
    usual_s = np.median(gaps_s) if len(gaps_s) else 0.0
    breaks = np.flatnonzero(gaps_s > _BREAK * usual_s) + 1
    pieces = np.split(np.arange(len(times_s), dtype=np.int64), breaks)
    least = min(-(-segment_frames // 2), max(len(piece) for piece in pieces))
    return np.concatenate(
        [piece[stretched(len(piece), segment_frames)] for piece in pieces if len(piece) >= least]
    )


def stretched(num_frames: int, segment_frames: int) -> Indices:
    """Gives segments [S, T] of neighbours; fewer frames than T are shown longer (0, 0, 1, 1, 2).

    Args:
        num_frames: Frames of the clip; at least 1.
        segment_frames: T, the frames of one segment; at least 1.
    """
    if num_frames >= segment_frames:
        return segment_indices(num_frames, segment_frames)
    return np.arange(segment_frames, dtype=np.int64)[None] * num_frames // segment_frames
