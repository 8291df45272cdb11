"""Searches for faces in a part of an image."""

from collections.abc import Sequence

import numpy as np

from mover_ray.faces.base import Detections, FaceDetector, Floats, Image
from mover_ray.faces.boxes import suppress
from mover_ray.faces.reduction import shrink

_MOST_IOU = 0.3
# A box this near the edge of its window, in pixels of the detector's input, may be cut off.
_EDGE_PX = 1.0

#: No faces.
NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def find_shrunk(
    detector: FaceDetector, images: Sequence[Image], sizes: Sequence[int]
) -> list[Detections]:
    """Finds the faces of images in smaller ones whose longer sides are at most `sizes`.

    Returns:
        One entry an image, boxes in its own pixels.
    """
    scaled = [shrink(image, size) for image, size in zip(images, sizes, strict=True)]
    return [
        Detections(faces.boxes * _growth(small, image), faces.scores)
        for image, small, faces in zip(images, scaled, detector.detect(scaled), strict=True)
    ]


def find_in_window(
    detector: FaceDetector, image: Image, window: Floats, size_px: int
) -> Detections:
    """Finds the faces that lie in a window of an image as a whole.

    Args:
        detector: Sees the window alone.
        image: uint8 RGB [H, W, 3].
        window: [4] xyxy; may reach outside the image.
        size_px: Longer side, at most, of what the detector sees.

    Returns:
        Boxes in pixels of the image. What ends at an edge of the window is left out unless
        the image ends there too.
    """
    frame = np.tile(image.shape[1::-1], 2)
    edges = np.clip(window, 0, frame).round().astype(int)
    part = image[edges[1] : edges[3], edges[0] : edges[2]]
    if not part.size:
        return NOTHING
    faces = find_shrunk(detector, [part], [size_px])[0]
    boxes = faces.boxes + np.tile(edges[:2], 2).astype(np.float32)
    margin = _EDGE_PX * max(1.0, max(part.shape[:2]) / size_px)
    whole = (boxes[:, :2] > edges[:2] + margin) | (edges[:2] == 0)
    whole &= (boxes[:, 2:] < edges[2:] - margin) | (edges[2:] == frame[2:])
    return Detections(boxes, faces.scores).select(whole.all(axis=1))


def merge(found: Sequence[Detections]) -> Detections:
    """Puts answers together; of boxes that mean the same face the best stays."""
    boxes = np.concatenate([faces.boxes for faces in found])
    scores = np.concatenate([faces.scores for faces in found])
    return Detections(boxes, scores).select(suppress(boxes, scores, _MOST_IOU))


def squares(boxes: Floats, faces: float) -> Floats:
    """Gives the squares [K, 4] around boxes [K, 4], `faces` of their longer sides wide."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) * (faces / 2)
    return np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)


def _growth(small: Image, big: Image) -> Floats:
    """Gives the factors [4] that take xyxy of the small image to the big one."""
    ratio_y, ratio_x = (np.array(big.shape[:2]) / small.shape[:2]).tolist()
    return np.array([ratio_x, ratio_y, ratio_x, ratio_y], dtype=np.float32)
