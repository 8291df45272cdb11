"""dlib's 68-point landmark predictor, in the shape of box that it was trained with.

Source: Kazemi and Sullivan, "One Millisecond Face Alignment with an Ensemble of
Regression Trees" (2014); model file of dlib, carried by `face-recognition-models`.
Its training set, iBUG 300-W, excludes commercial use.
Differs: the predictor looks at a small gray picture of the face at a fixed scale instead of
the frame. dlib rounds its points to whole pixels and reads single pixels, which is
coarse on a small face and noisy on a big one.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.errors import ConfigError
from mover_ray.faces.base import Floats, Image
from mover_ray.faces.boxes import SquareShape
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.reduction import shrink
from mover_ray.faces.weights import package_file

if TYPE_CHECKING:
    import dlib

_SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
_POINTS = 68
# The square in the small picture, and the room around it that the trees may look at.
_SQUARE_PX = 200
_ROOM_PX = 60
_CHIP_PX = _SQUARE_PX + 2 * _ROOM_PX
# A box that is larger than any face in the frame can be must not cost memory.
_MOST_FRAMES = 2

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

        corner, side = _surroundings(square, _MOST_FRAMES * max(image.shape[:2]))
        chip = _gray_chip(image, corner, side)
        scale = _CHIP_PX / side
        left, top, right, bottom = ((square - np.tile(corner, 2)) * scale).round().tolist()
        rectangle = dlib.rectangle(int(left), int(top), int(right) - 1, int(bottom) - 1)
        shape = self._predictor(chip, rectangle)
        points = np.array([(part.x, part.y) for part in shape.parts()], dtype=np.float32)
        # Points name centres of pixels, the corner of the chip an edge: half a pixel apart.
        return np.asarray((points + 0.5) / scale + corner - 0.5, dtype=np.float32)


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
    return Dlib68(dlib.shape_predictor(str(predictor_path())), HOG_SQUARES[policy.detector])


def predictor_path() -> Path:
    """Gives dlib's model file.

    Raises:
        ArtifactError: The package that carries it is missing or altered.
    """
    return package_file(
        "face_recognition_models", "models/shape_predictor_68_face_landmarks.dat", _SHA256
    )


def _surroundings(square: Floats, most_px: int) -> tuple[npt.NDArray[np.intp], int]:
    """Gives the corner (x, y) and the side, whole pixels of the frame, of the part looked at."""
    side = max(1, round(min(float(square[2] - square[0]) * _CHIP_PX / _SQUARE_PX, most_px)))
    return ((square[:2] + square[2:] - side) / 2).round().astype(np.intp), side


def _gray_chip(image: Image, corner: npt.NDArray[np.intp], side: int) -> Image:
    """Gives the part at the fixed scale, uint8 [320, 320], black outside the frame.

    Whole pixels of the frame make this a plain resize, which costs a quarter of a warp.
    """
    height, width = image.shape[:2]
    left, top = np.clip(corner, 0, (width, height)).tolist()
    right, bottom = np.clip(corner + side, 0, (width, height)).tolist()
    part = np.zeros((side, side), np.uint8)
    if left < right and top < bottom:
        x, y = corner.tolist()
        gray = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
        part[top - y : bottom - y, left - x : right - x] = gray
    if side > _CHIP_PX:
        return shrink(part, _CHIP_PX)
    return np.asarray(cv2.resize(part, (_CHIP_PX, _CHIP_PX)), dtype=np.uint8)
