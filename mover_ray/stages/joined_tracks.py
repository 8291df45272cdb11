"""Which tracks of several detectors' views are the same face.

Rows are entries of the `faces` column.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mover_ray.faces.base import Floats
from mover_ray.faces.boxes import iou
from mover_ray.stages.base import Row

#: Two tracks are one face if their boxes overlap as much as those of one track do in
#: neighbouring frames.
_LEAST_IOU = 0.3


def join_tracks(views: Sequence[Sequence[Row]]) -> list[dict[int, int]]:
    """Gives every track the number of its face.

    Faces have the numbers of the first view's tracks; a later view's track joins the face
    that it overlaps most while both are seen, and is a new face where there is none. Two
    tracks of one view are never the same face.

    Args:
        views: The faces that each found.

    Returns:
        For each view, the number of the face by the number of the track.
    """
    known: dict[int, Row] = {}
    joined: list[dict[int, int]] = []
    for faces in views:
        numbers: dict[int, int] = {}
        for face in sorted(faces, key=_length, reverse=True):
            free = {number: one for number, one in known.items() if number not in numbers.values()}
            number = _same(face, free)
            if number is None:
                number = int(face["track_id"]) if not joined else _next(known)
                known[number] = face
            numbers[int(face["track_id"])] = number
        joined.append(numbers)
    return joined


def overlap(first: Row, second: Row) -> float:
    """Gives the mean overlap of two tracks' boxes while both are seen; 0 if they never are."""
    times = [frame["time_s"] for frame in (*first["frames"], *second["frames"])]
    since = max(first["first_s"], second["first_s"])
    until = min(first["last_s"], second["last_s"])
    shared_s = np.array([time_s for time_s in times if since <= time_s <= until])
    if not len(shared_s):
        return 0.0
    return float(iou(_boxes(first, shared_s), _boxes(second, shared_s)).diagonal().mean())


def _same(face: Row, known: dict[int, Row]) -> int | None:
    overlaps = {number: overlap(face, one) for number, one in known.items()}
    best = max(overlaps, key=lambda number: overlaps[number], default=None)
    return best if best is not None and overlaps[best] >= _LEAST_IOU else None


def _next(known: dict[int, Row]) -> int:
    return max(known, default=-1) + 1


def _length(face: Row) -> int:
    return len(face["frames"])


def _boxes(face: Row, times_s: NDArray[np.float64]) -> Floats:
    """Gives the boxes [N, 4] at these times, on straight lines between the sampled frames."""
    seen_s = [frame["time_s"] for frame in face["frames"]]
    boxes = np.array([frame["box"] for frame in face["frames"]], np.float64)
    between = [np.interp(times_s, seen_s, edge) for edge in boxes.T]
    return np.stack(between, axis=1).astype(np.float32)
