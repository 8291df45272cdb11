"""Arithmetic of boxes: overlap, suppression, and the way into another shape."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mover_ray.faces.base import Floats


def iou(first: Floats, second: Floats) -> Floats:
    """Gives the overlap of each pair of boxes: intersection over union.

    Args:
        first: [A, 4] xyxy.
        second: [B, 4] xyxy.

    Returns:
        float32 [A, B] in [0, 1]; 0 where both boxes are empty.
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    union = area(first)[:, None] + area(second)[None, :] - shared
    overlaps = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.asarray(overlaps, dtype=np.float32)


def area(boxes: Floats) -> Floats:
    """Gives the areas [K] of boxes [K, 4]; an inside-out box has none."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)


def suppress(boxes: Floats, scores: Floats, most_iou: float) -> npt.NDArray[np.intp]:
    """Picks the best of boxes that mean the same face (non-maximum suppression).

    Args:
        boxes: [K, 4] xyxy.
        scores: [K]; equal scores are taken in the order given.
        most_iou: Overlap above which the box of the lower score is dropped.

    Returns:
        Indices of the boxes kept, best first.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept = []
    while waiting.size:
        best, rest = waiting[0], waiting[1:]
        kept.append(best)
        waiting = rest[iou(boxes[best : best + 1], boxes[rest])[0] <= most_iou]
    return np.array(kept, dtype=np.intp)


@dataclass(frozen=True, slots=True)
class SquareShape:
    """How the boxes of one detector become squares of another's kind."""

    shift_x: float
    """Offset of the square's centre from the box's, in widths of the box."""
    shift_y: float
    """The same downwards, in heights of the box."""
    side: float
    """Side of the square, in square roots of the box's area."""

    def apply(self, boxes: Floats) -> Floats:
        """Gives the square [K, 4] of each box [K, 4]."""
        sizes = boxes[:, 2:] - boxes[:, :2]
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + sizes * (self.shift_x, self.shift_y)
        halves = np.sqrt(area(boxes))[:, None] * (self.side / 2)
        return np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)
