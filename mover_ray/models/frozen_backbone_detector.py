"""Detectors that look at faces through a frozen backbone.

Shapes:
    S: segments   T: frames of a segment   B: faces, S * T of them   C: colours   H, W: pixels
"""

import abc
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

from torch import Tensor

from mover_ray.models.base import Detector, DetectorOutput
from mover_ray.models.frozen_backbone import FrozenBackbone, LayerFeatures


class FeatureReader(Protocol):
    """What a detector has understood of a batch so far."""

    def take(self, layer: LayerFeatures) -> None:
        """Reads what a block of the backbone made; called for every block in order."""
        ...

    def output(self) -> DetectorOutput:
        """Scores, after the last block."""
        ...


class BackboneDetector(Detector):
    """A detector whose state leaves its backbone out."""

    def __init__(self, backbone: FrozenBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Takes the backbone along to another device or layout, as torch does with children."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.backbone.vit._apply(fn, recurse)  # noqa: SLF001
        return self


class FeatureDetector(BackboneDetector, abc.ABC):
    """A detector that reads the features of an unchanged backbone and nothing else."""

    @abc.abstractmethod
    def reader(self, num_segments: int) -> FeatureReader:
        """Begins with a batch of so many segments."""

    def forward(self, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> DetectorOutput:
        """Scores segments."""
        return score_together([self], faces_STCHW, landmarks_STKX)[0]


def score_together(
    detectors: Sequence[FeatureDetector], faces_STCHW: Tensor, landmarks_STKX: Tensor
) -> list[DetectorOutput]:
    """Scores segments by several detectors in one pass of the backbone that they share.

    Args:
        detectors: All with the same `spec` and `backbone.identity`.
        faces_STCHW: uint8 RGB.
        landmarks_STKX: float32, pixels of the crop.

    Raises:
        ValueError: They differ, or the batch does not fit them.
    """
    first = detectors[0]
    wanted: tuple[Any, ...] = (first.spec, first.backbone.identity)
    if any((one.spec, one.backbone.identity) != wanted for one in detectors):
        raise ValueError("detectors of different inputs or backbones share no features")
    first.spec.check(faces_STCHW, landmarks_STKX)
    readers = [one.reader(len(faces_STCHW)) for one in detectors]

    def take(layer: LayerFeatures) -> None:
        for reader in readers:
            reader.take(layer)

    first.backbone.read(faces_STCHW.flatten(0, 1), take)
    return [reader.output() for reader in readers]
