"""dlib's 68-point landmark predictor, in the shape of box that it was trained with.

Source: Kazemi and Sullivan, "One Millisecond Face Alignment with an Ensemble of
Regression Trees" (2014); model file of dlib, carried by `face-recognition-models`.
Its training set, iBUG 300-W, excludes commercial use.
Differs: the predictor looks at a small picture of the face at a fixed scale instead of
the frame. dlib rounds its points to whole pixels and reads single pixels, which is
coarse on a small face and noisy on a big one.
"""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from mover_ray.errors import ConfigError
from mover_ray.faces.base import Floats, Image
from mover_ray.faces.boxes import SquareShape
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.warping import transform, warp
from mover_ray.faces.weights import package_file

if TYPE_CHECKING:
    import dlib

_SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
_POINTS = 68
# The square in the small picture, and the room around it that the trees may look at.
_SQUARE_PX = 200
_ROOM_PX = 60

#: The square that dlib's HOG detector would draw for the box of another detector:
#: medians over 720 frames of 72 videos; half of the faces lie within 0.05 of them. For
#: ResNet-50 the numbers of MobileNet stand in: both learn the boxes of WIDER FACE.
HOG_SQUARES = {
    "centerface": SquareShape(shift_x=0.0, shift_y=0.043, side=0.966),
    "dlib": SquareShape(shift_x=0.0, shift_y=0.0, side=1.0),
    "retinaface": SquareShape(shift_x=0.0, shift_y=0.065, side=0.956),
    "retinaface-mobilenet": SquareShape(shift_x=0.0, shift_y=0.065, side=0.956),
    "yunet": SquareShape(shift_x=0.0, shift_y=0.059, side=0.960),
}


class Dlib68:
    """Finds 68 points from a box; every box gives points, however little it resembles a face."""

    def __init__(self, predictor: "dlib.shape_predictor", square: SquareShape) -> None:
        self._predictor = predictor
        self._square = square

    def landmarks(self, image: Image, boxes: Floats) -> Floats:
        """Finds the points of each face; see `Landmarker`."""
        found = [self._predict(image, square) for square in self._square.apply(boxes)]
        return np.array(found, dtype=np.float32).reshape(-1, _POINTS, 2)

    def _predict(self, image: Image, square: Floats) -> Floats:
        import dlib

        to_chip = _to_chip(square)
        chip = warp(image, to_chip, _SQUARE_PX + 2 * _ROOM_PX)
        last = _ROOM_PX + _SQUARE_PX - 1
        shape = self._predictor(chip, dlib.rectangle(_ROOM_PX, _ROOM_PX, last, last))
        points = np.array([(part.x, part.y) for part in shape.parts()], dtype=np.float32)
        return transform(cv2.invertAffineTransform(to_chip), points)


def build(policy: FacePolicy) -> Dlib68:
    """Builds the predictor for boxes of the policy's detector.

    Raises:
        ArtifactError: The package that carries the model is missing or altered.
        ConfigError: It is not known how the detector's boxes relate to HOG's.
    """
    import dlib

    if policy.detector not in HOG_SQUARES:
        raise ConfigError(
            f"landmarker `dlib68` does not know the boxes of detector `{policy.detector}`",
            hint="measure them against dlib's and add a line to `HOG_SQUARES`",
        )
    path = package_file(
        "face_recognition_models", "models/shape_predictor_68_face_landmarks.dat", _SHA256
    )
    return Dlib68(dlib.shape_predictor(str(path)), HOG_SQUARES[policy.detector])


def _to_chip(square: Floats) -> Floats:
    """Gives the affine map [2, 3] that takes the square to its place in the small picture."""
    scale = _SQUARE_PX / max(float(square[2] - square[0]), 1e-3)
    # A box names the edges of pixels, an affine map their centres: half a pixel apart.
    offset = _ROOM_PX - (square[:2] - 0.5) * scale - 0.5
    return np.array([[scale, 0, offset[0]], [0, scale, offset[1]]], dtype=np.float64)
