"""Members of an ensemble that read the same frozen backbone let it run once."""

from collections import defaultdict
from collections.abc import Sequence

from torch import Tensor

from mover_ray.models.base import Detector, DetectorOutput, FaceBatch
from mover_ray.models.frozen_backbone_detector import FeatureDetector, score_together


class SharedPass:
    """The passes of one backbone, for all detectors that read it.

    Scorers take turns: the first one meets all batches, then the next one meets the same
    batches in the same order. The features go by, and what the others make of them is kept
    for their turn.
    """

    def __init__(self, detectors: Sequence[FeatureDetector]) -> None:
        """Takes detectors that `score_together` takes."""
        self._detectors = detectors
        self.begin()

    def begin(self) -> None:
        """Forgets the batches of earlier videos."""
        self._outputs: list[list[DetectorOutput]] = []
        self._met = [0] * len(self._detectors)

    def output(self, place: int, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> DetectorOutput:
        """Gives what the detector at a place says of its next batch."""
        batch = self._met[place]
        self._met[place] += 1
        if batch == len(self._outputs):
            self._outputs.append(score_together(self._detectors, faces_STCHW, landmarks_STKX))
        return self._outputs[batch][place]


class SharingDetector(Detector):
    """A detector whose scores come from a shared pass."""

    def __init__(self, own: FeatureDetector, shared: SharedPass, place: int) -> None:
        super().__init__()
        self.own = own
        self.config, self.spec, self.mask_kind = own.config, own.spec, own.mask_kind
        self._shared = shared
        self._place = place

    def forward(self, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> DetectorOutput:
        """Scores segments."""
        return self._shared.output(self._place, faces_STCHW, landmarks_STKX)

    def losses(self, batch: FaceBatch) -> dict[str, Tensor]:
        """Gives the terms of the detector's own loss."""
        return self.own.losses(batch)

    def localize(self, faces_NCHW: Tensor, landmarks_NKX: Tensor) -> Tensor:
        """Gives the detector's own maps."""
        return self.own.localize(faces_NCHW, landmarks_NKX)


def share_features(
    detectors: Sequence[Detector], places: Sequence[int]
) -> tuple[list[Detector], list[SharedPass]]:
    """Lets detectors share what they can.

    Args:
        detectors: The members of an ensemble.
        places: Which view each is shown; other crops have other features.

    Returns:
        The detectors in their order, and the passes that some of them share.
    """
    groups: dict[object, dict[int, FeatureDetector]] = defaultdict(dict)
    for number, (detector, place) in enumerate(zip(detectors, places, strict=True)):
        if isinstance(detector, FeatureDetector):
            groups[place, detector.spec, detector.backbone.identity][number] = detector
    sharing, passes = list(detectors), []
    for readers in groups.values():
        if len(readers) > 1:
            passes.append(SharedPass(list(readers.values())))
            for turn, (number, reader) in enumerate(readers.items()):
                sharing[number] = SharingDetector(reader, passes[-1], turn)
    return sharing, passes
