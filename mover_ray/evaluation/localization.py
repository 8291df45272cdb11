"""What masks are worth, given the truth about each pixel.

Shapes:
    H, W: pixels
"""

from dataclasses import dataclass, field

import numpy as np

from mover_ray.evaluation.metrics import Bytes, PixelAuc, f1_score, iou
from mover_ray.evaluation.ranking import Bools

#: A pixel of at least this value is called manipulated: half of 255, rounded up.
CALLED = 128


@dataclass(slots=True, eq=False)
class MaskScore:
    """Figures over any number of masks, in constant memory but for one number a mask."""

    _pixels: PixelAuc = field(default_factory=PixelAuc)
    _ious: list[float] = field(default_factory=list)
    _f1s: list[float] = field(default_factory=list)
    _alarms: list[float] = field(default_factory=list)
    _right: int = 0
    _counted: int = 0

    def add(self, truth: Bools, predicted: Bytes) -> None:
        """Counts the mask of a frame.

        Args:
            truth: [H, W], True where manipulated; empty on a real face, whose pixels count
                towards the area of false alarms and towards nothing else.
            predicted: uint8 [H, W], probability x 255.

        Raises:
            ValueError: The shapes differ.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f"masks of different shapes: {truth.shape} and {predicted.shape}")
        called = predicted >= CALLED
        if not truth.any():
            self._alarms.append(float(called.mean()))
            return
        self._pixels.add(truth, predicted)
        self._ious.append(iou(truth, called))
        self._f1s.append(f1_score(truth, called))
        self._right += int((truth == called).sum())
        self._counted += truth.size

    def as_json(self) -> dict[str, float | int | None]:
        """Gives the figures; null where no mask of that kind was counted.

        Masks weigh alike in `iou`, `f1` and `false_positive_area`, pixels in the others.
        """
        fakes = len(self._ious)
        return {
            "fake_masks": fakes,
            "real_masks": len(self._alarms),
            "pixel_auc": self._pixels.value() if fakes else None,
            "iou": _mean(self._ious),
            "f1": _mean(self._f1s),
            "pixel_accuracy": self._right / self._counted if fakes else None,
            "false_positive_area": _mean(self._alarms),
        }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
