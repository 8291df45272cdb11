"""What finds faces and what finds their landmarks: two small protocols."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Detections:
    """The faces of one image, best first."""

    boxes: Floats
    """[K, 4] xyxy in pixels of the image that was given; may reach outside it."""
    scores: Floats
    """[K] in [0, 1], on the common scale of `faces.scores`; never rising."""

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, keep: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "Detections":
        """Gives the faces named by an index or boolean array, in its order."""
        return Detections(self.boxes[keep], self.scores[keep])


class FaceDetector(Protocol):
    """Finds faces. The same image gives the same faces, whatever is beside it."""

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Finds the faces of each image.

        Args:
            images: uint8 RGB [H, W, 3] each; sizes may differ.

        Returns:
            One entry an image, in order. Faces below the policy's `min_score` are left out.
        """
        ...


class Landmarker(Protocol):
    """Finds the 68 iBUG points of faces whose boxes are known."""

    def landmarks(self, image: Image, boxes: Floats) -> Floats:
        """Finds the points of each face.

        Args:
            image: uint8 RGB [H, W, 3].
            boxes: float32 [K, 4] xyxy pixels, in the shape of the policy's detector.

        Returns:
            float32 [K, 68, 2] (x, y) in pixels of the image, an integer being the
            centre of a pixel. Points may lie outside the image.
        """
        ...
