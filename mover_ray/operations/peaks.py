"""The moments of a video that are most worth a look."""

from dataclasses import dataclass
from typing import Any, Final

from mover_ray.pipelines.results import Row

_COUNT: Final = 3
#: Peaks are this share of the video apart, where there are enough of them.
_APART: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """A face in a frame."""

    track_id: int
    frame_index: int
    time_s: float
    box: list[float]
    score: float
    mask: dict[str, Any] | None
    """The entry of the `masks` column for it."""


def peaks_of(row: Row, count: int = _COUNT) -> list[Peak]:
    """Gives the most suspicious frames of a video, those with masks first, none twice.

    Args:
        row: With `faces`, `masks` and `duration_s`.
        count: How many at most.
    """
    masks = {(mask["track_id"], mask["frame_index"]): mask for mask in row["masks"]}
    found = [
        Peak(
            track_id=face["track_id"],
            frame_index=frame["frame_index"],
            time_s=frame["time_s"],
            box=frame["box"],
            score=frame["score"],
            mask=masks.get((face["track_id"], frame["frame_index"])),
        )
        for face in row["faces"]
        for frame in face["frames"]
        if frame["score"] is not None
    ]
    found.sort(key=lambda peak: -peak.score)
    apart_s = _APART * (row["duration_s"] or 0.0)
    chosen: list[Peak] = []
    for masked in (True, False):
        some = [peak for peak in found if (peak.mask is not None) == masked]
        for distance_s in (apart_s, 0.0):
            _take_apart(some, chosen, count, distance_s)
    return sorted(chosen, key=lambda peak: peak.frame_index)


def _take_apart(peaks: list[Peak], chosen: list[Peak], count: int, distance_s: float) -> None:
    """Adds peaks to `chosen` that are so far from the others there, until it has `count`."""
    for peak in peaks:
        near = any(
            abs(peak.time_s - other.time_s) < distance_s or peak.frame_index == other.frame_index
            for other in chosen
        )
        if len(chosen) < count and not near:
            chosen.append(peak)
