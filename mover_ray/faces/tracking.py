"""Boxes of consecutive sampled frames become tracks: who overlaps whom."""

from dataclasses import dataclass

import numpy as np

from mover_ray.faces.base import Floats
from mover_ray.faces.boxes import iou

#: Sampled frames in a row in which a face may be missing before its track ends. Ours: a
#: blink of the detector or a hand before the face lasts about as long.
MOST_MISSED = 3


@dataclass(slots=True)
class _Track:
    track_id: int
    box: Floats
    missed: int = 0


class Tracker:
    """Gives each box the number of its track: 0, 1 … by first appearance.

    Pairs are taken greedily by falling overlap, so the result depends on the boxes alone.
    Nothing else than overlap links boxes: a person who leaves and comes back elsewhere,
    or who has moved far when the next group of frames begins, starts another track.
    """

    def __init__(self, least_iou: float) -> None:
        self._least_iou = least_iou
        self._alive: list[_Track] = []
        self._started = 0

    def update(self, boxes: Floats) -> list[int]:
        """Takes the boxes of the next sampled frame.

        Args:
            boxes: float32 [K, 4] xyxy in displayed pixels.

        Returns:
            K track numbers, in the order of the boxes.
        """
        owners = self._match(boxes)
        for track in self._alive:
            track.missed += 1
        for index, box in enumerate(boxes):
            track = owners.get(index) or self._start(box)
            track.box, track.missed = box, 0
            owners[index] = track
        self._alive = [track for track in self._alive if track.missed <= MOST_MISSED]
        return [owners[index].track_id for index in range(len(boxes))]

    def _match(self, boxes: Floats) -> dict[int, _Track]:
        if not self._alive or not len(boxes):
            return {}
        overlaps = iou(np.stack([track.box for track in self._alive]), boxes)
        owners: dict[int, _Track] = {}
        taken: set[int] = set()
        for flat in np.argsort(-overlaps, axis=None, kind="stable"):
            row, column = divmod(int(flat), len(boxes))
            if overlaps[row, column] < self._least_iou:
                break
            if row not in taken and column not in owners:
                owners[column] = self._alive[row]
                taken.add(row)
        return owners

    def _start(self, box: Floats) -> _Track:
        track = _Track(self._started, box)
        self._started += 1
        self._alive.append(track)
        return track
