"""How the frames of a track become segments of equal length."""

import numpy as np
from numpy.typing import NDArray


def segment_indices(num_frames: int, segment_frames: int) -> NDArray[np.int64]:
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
