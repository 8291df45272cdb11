"""Affine maps of points and pixels. Integer coordinates are the centres of pixels.

A map is float [2, 3]: (x, y) of the source to (x, y) of the target. Boxes name edges
of pixels instead, which lie half a pixel before the centres.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.faces.base import Floats, Image

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

    Where the map shrinks, the part of the image that is needed is first averaged down
    to the target's scale. Bilinear reading alone looks at four pixels only and would
    skip the others: texture of a big face would turn into false patterns, the very
    kind that a detector of manipulations looks for.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        affine: Takes pixels of the image into the picture.
        size_px: Side of the picture.

    Returns:
        uint8 [size_px, size_px] or [size_px, size_px, 3]; black outside the image.
    """
    affine = np.asarray(affine, dtype=np.float64)
    left, top, right, bottom = _needed(image, affine, size_px)
    if left >= right or top >= bottom:
        return np.zeros((size_px, size_px, *image.shape[2:]), dtype=np.uint8)
    part = image[top:bottom, left:right]
    affine = _after(affine, left, top, 1.0, 1.0)
    scale = scale_of(affine)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in (right - left, bottom - top))
        affine = _after(affine, 0, 0, width / part.shape[1], height / part.shape[0])
        part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    warped: Image = cv2.warpAffine(part, affine, (size_px, size_px), flags=cv2.INTER_LINEAR)
    return warped


def _needed(image: Image, affine: Affine, size_px: int) -> tuple[int, int, int, int]:
    """Gives the part of the image, clipped to it, from which the picture's pixels come."""
    low, high = -_REACH_PX, size_px - 1 + _REACH_PX
    corners = np.array([[low, low], [high, low], [low, high], [high, high]], dtype=np.float64)
    inside = transform(cv2.invertAffineTransform(affine), corners)
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(inside.min(axis=0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(inside.max(axis=0)) + 1, 0, (width, height)).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _after(affine: Affine, left: int, top: int, scale_x: float, scale_y: float) -> Affine:
    """Gives the map for an image that was cut at (left, top), then scaled."""
    # A scaled pixel's centre c lies at (c + 0.5) / scale - 0.5 of the cut image.
    linear = affine[:, :2] / (scale_x, scale_y)
    origin = np.array([left + 0.5 / scale_x - 0.5, top + 0.5 / scale_y - 0.5])
    return np.column_stack([linear, affine[:, :2] @ origin + affine[:, 2]])
