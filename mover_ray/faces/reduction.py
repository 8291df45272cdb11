"""Makes images smaller at little cost."""

import cv2
import numpy as np

from mover_ray.faces.base import Image


def shrink(image: Image, longer_px: int) -> Image:
    """Gives the image with its longer side at most `longer_px`, good enough to find faces in.

    Below half the size each pixel is the average of four bilinear readings, which look at
    sixteen pixels at most. An average over all of them (OpenCV's `INTER_AREA`) costs up to
    ten times as much and finds no more faces (docs/faces.md).
    """
    height, width = image.shape[:2]
    scale = longer_px / max(height, width)
    if scale >= 1:
        return image
    columns, rows = (max(1, round(side * scale)) for side in (width, height))
    if 2 * columns < width and 2 * rows < height:
        image = _resize(image, 2 * columns, 2 * rows, cv2.INTER_LINEAR)
        return _resize(image, columns, rows, cv2.INTER_AREA)
    return _resize(image, columns, rows, cv2.INTER_LINEAR)


def halve(image: Image) -> Image:
    """Gives the image at half the size, each pixel the average of four; odd edges are cut."""
    rows, columns = (side // 2 for side in image.shape[:2])
    return _resize(image[: 2 * rows, : 2 * columns], columns, rows, cv2.INTER_AREA)


def _resize(image: Image, columns: int, rows: int, method: int) -> Image:
    return np.asarray(cv2.resize(image, (columns, rows), interpolation=method), dtype=np.uint8)
