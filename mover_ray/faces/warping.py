"""Affine maps of points and pixels. Integer coordinates are the centres of pixels.

A map is float [2, 3]: (x, y) of the source to (x, y) of the target. Boxes name edges
of pixels instead, which lie half a pixel before the centres.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.faces.base import Floats, Image
from mover_ray.faces.reduction import halve

Affine = npt.NDArray[np.floating]

# Neighbours that bilinear reading needs beside the outermost pixel.
_REACH_PX = 2


def transform(affine: Affine, points: npt.NDArray[np.floating]) -> Floats:
    """Gives the images of points [..., 2] under an affine map, float32."""
    moved = points @ affine[:, :2].T + affine[:, 2]
    return np.asarray(moved, dtype=np.float32)


def scale_of(affine: Affine) -> float:
    """Gives how much longer lines become under a similarity."""
    return math.sqrt(abs(float(np.linalg.det(affine[:, :2]))))


def warp(image: Image, affine: Affine, size_px: int) -> Image:
    """Gives the square picture that an affine map cuts out of an image.

    Bilinear reading alone looks at four pixels and would skip the others of a big face:
    its texture would turn into false patterns, the very kind that a detector of
    manipulations looks for. So the part of the image that is needed is first halved until
    the map shrinks it by less than half; four pixels are then enough.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        affine: Takes pixels of the image into the picture.
        size_px: Side of the picture.

    Returns:
        uint8 [size_px, size_px] or [size_px, size_px, 3]; black outside the image.
    """
    part, affine = _needed(image, affine, size_px)
    if not part.size:
        return np.zeros((size_px, size_px, *image.shape[2:]), dtype=np.uint8)
    while scale_of(affine) < 0.5 and min(part.shape[:2]) > 1:
        part, affine = halve(part), _after(affine, 0, 0, 0.5)
    warped: Image = cv2.warpAffine(part, affine, (size_px, size_px), flags=cv2.INTER_LINEAR)
    return warped


def _needed(image: Image, affine: Affine, size_px: int) -> tuple[Image, Affine]:
    """Cuts out the part of an image from which the pixels of its picture come.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        affine: Takes pixels of the image into the picture.
        size_px: Side of the picture.

    Returns:
        A view of the image, empty where the map misses it; and the map of that view.
    """
    affine = np.asarray(affine, dtype=np.float64)
    low, high = -_REACH_PX, size_px - 1 + _REACH_PX
    corners = np.array([[low, low], [high, low], [low, high], [high, high]], dtype=np.float64)
    inside = transform(cv2.invertAffineTransform(affine), corners)
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(inside.min(axis=0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(inside.max(axis=0)) + 1, 0, (width, height)).astype(int)
    return image[top:bottom, left:right], _after(affine, int(left), int(top), 1.0)


def _after(affine: Affine, left: int, top: int, scale: float) -> Affine:
    """Gives the map for an image that was cut at (left, top), then scaled."""
    # A scaled pixel's centre c lies at (c + 0.5) / scale - 0.5 of the cut image.
    origin = np.array([left, top]) + (0.5 / scale - 0.5)
    return np.column_stack([affine[:, :2] / scale, affine[:, :2] @ origin + affine[:, 2]])
