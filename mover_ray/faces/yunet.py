"""YuNet, OpenCV's own face detector, with weights by path.

Source: Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector" (2023), as
`cv2.FaceDetectorYN` runs it.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from mover_ray.errors import ArtifactError
from mover_ray.faces.base import Detections, Image
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.scores import YUNET
from mover_ray.faces.weights import policy_file

_MOST_IOU = 0.3
_MOST_CANDIDATES = 5000


class YuNet:
    """Runs the network on one image at a time."""

    def __init__(self, network: "cv2.FaceDetectorYN") -> None:
        self._network = network

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Finds the faces of each image; see `FaceDetector`."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: Image) -> Detections:
        height, width = image.shape[:2]
        self._network.setInputSize((width, height))
        _, found = self._network.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        rows = np.zeros((0, 15), np.float32) if found is None else found.astype(np.float32)
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        return Detections(boxes, YUNET.to_common(rows[:, 14]))


def build(policy: FacePolicy, device: str) -> YuNet:  # noqa: ARG001
    """Builds the detector; it runs on the CPU whatever the device.

    Raises:
        ConfigError: The policy names no weights.
        ArtifactError: The weights are missing, altered, or no YuNet.
    """
    path = policy_file(policy)
    least = YUNET.to_raw(policy.min_score)
    try:
        network = cv2.FaceDetectorYN.create(
            str(path), "", (320, 320), least, _MOST_IOU, _MOST_CANDIDATES
        )
    except cv2.error as error:
        raise ArtifactError(f"not a YuNet model: `{path}`") from error
    return YuNet(network)
