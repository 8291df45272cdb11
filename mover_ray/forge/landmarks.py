"""Landmarks in time and in the face's own coordinates.

Unit coordinates are those of `faces.alignment.TEMPLATE`: upright, the face fills [0, 1].

    T: frames   K: points
"""

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.faces.alignment import TEMPLATE, anchors, similarity
from mover_ray.faces.warping import transform
from mover_ray.forge.base import Floats, ForgeError
from mover_ray.forge.warping import Triangles, triangulate
from mover_ray.status import Status

#: Index of each landmark's mirror image.
MIRRORED = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        *range(67, 64, -1),
    ]
)

_FRAME_X = (-0.3, 0.23, 0.77, 1.3)
_FRAME_Y = (-0.6, 0.0, 0.6, 1.15)
#: A frame around the face that stays where it is while the face inside is warped: twelve
#: points [12, 2] in unit coordinates, far enough out to hold hair and chin.
FRAME: Floats = np.array(
    [(x, y) for x in _FRAME_X for y in _FRAME_Y if x in (-0.3, 1.3) or y in (-0.6, 1.15)],
    dtype=np.float32,
)


def unit_maps(landmarks: Floats) -> npt.NDArray[np.float64]:
    """Gives the similarity [T, 2, 3] that takes each frame's face [T, 68, 2] to unit coordinates.

    Raises:
        ForgeError: Eyes, nose and mouth of a frame coincide.
    """
    try:
        return np.stack([similarity(anchors(points), TEMPLATE) for points in landmarks])
    except ValueError as error:
        raise ForgeError(Status.NO_FACE, f"landmarks are no face: {error}") from error


def to_unit(landmarks: Floats) -> Floats:
    """Gives landmarks [T, 68, 2] in unit coordinates."""
    maps = unit_maps(landmarks)
    return np.stack([transform(*pair) for pair in zip(maps, landmarks, strict=True)])


def to_frame(maps: npt.NDArray[np.floating], points: npt.NDArray[np.floating]) -> Floats:
    """Gives unit points [T, K, 2] in pixels of the frames that `unit_maps` [T, 2, 3] came from."""
    back = [cv2.invertAffineTransform(affine) for affine in maps]
    return np.stack([transform(*pair) for pair in zip(back, points, strict=True)])


def surround(landmarks: Floats) -> Floats:
    """Adds twelve points on a frame around the face: [T, 68, 2] to [T, 80, 2]."""
    maps = unit_maps(landmarks)
    frame = to_frame(maps, np.broadcast_to(FRAME, (len(maps), *FRAME.shape)))
    return np.concatenate([landmarks, frame], axis=1)


def mesh(landmarks: Floats) -> Triangles:
    """Gives one triangulation [N, 3] of the 80 points of `surround` for a whole clip."""
    return triangulate(np.concatenate([to_unit(landmarks).mean(axis=0), FRAME]))


def smooth(values: Floats, sigma_frames: float) -> Floats:
    """Gives a series [T, ...] averaged over time with Gaussian weights, without a lag."""
    if sigma_frames == 0 or len(values) == 1:
        return values
    reach = round(3 * sigma_frames)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_frames) ** 2)
    flat = np.ascontiguousarray(values.reshape(len(values), -1))
    averaged = cv2.sepFilter2D(
        flat, -1, np.ones(1), weights / weights.sum(), borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(averaged, dtype=np.float32).reshape(values.shape)
