"""dlib's HOG detector of frontal faces: no weights, no learning beyond 2014, no GPU.

Source: King, "Max-Margin Object Detection" (arXiv 1502.00046), as
`dlib.get_frontal_face_detector` carries it. It sees no face below 80 pixels and few
that turn away; it is here as the classic yardstick.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mover_ray.faces.base import Detections, Image
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.scores import DLIB_HOG

if TYPE_CHECKING:
    import dlib


class DlibHog:
    """Runs the detector on one image at a time, without up-sampling."""

    def __init__(self, detector: "dlib.fhog_object_detector", least_margin: float) -> None:
        self._detector = detector
        self._least_margin = least_margin

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Finds the faces of each image; see `FaceDetector`."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: Image) -> Detections:
        found, margins, _ = self._detector.run(np.ascontiguousarray(image), 0, self._least_margin)
        # dlib's rectangles name their last pixel; boxes end behind it.
        boxes = np.array(
            [(box.left(), box.top(), box.right() + 1, box.bottom() + 1) for box in found],
            dtype=np.float32,
        ).reshape(-1, 4)
        scores = np.array(margins, dtype=np.float32)
        best_first = np.argsort(-scores, kind="stable")
        return Detections(boxes[best_first], DLIB_HOG.to_common(scores[best_first]))


def build(policy: FacePolicy, device: str) -> DlibHog:  # noqa: ARG001
    """Builds the detector; it runs on the CPU whatever the device."""
    import dlib

    return DlibHog(dlib.get_frontal_face_detector(), DLIB_HOG.to_raw(policy.min_score))
