"""Piecewise-affine warps over a triangulation of landmarks.

K: points   N: triangles   h, w: pixels of the picture that is made
"""

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.forge.base import Floats, Frames

Triangles = npt.NDArray[np.intp]

_SUBPIXEL_BITS = 4
# Thinner triangles cover no pixel but would need huge coefficients.
_LEAST_AREA_PX = 0.05
# Subdiv2D wants coordinates of the size of pixels.
_UNIT_PX = 1000.0


def triangulate(points: npt.NDArray[np.floating]) -> Triangles:
    """Gives the Delaunay triangulation of points [K, 2] in unit coordinates: indices [N, 3]."""
    placed = np.asarray(points * _UNIT_PX, dtype=np.float32)
    low, high = placed.min(axis=0) - 1, placed.max(axis=0) + 1
    division = cv2.Subdiv2D((*np.floor(low).astype(int), *np.ceil(high - low).astype(int)))
    index_of = {}
    for index, (x, y) in enumerate(placed.tolist()):
        division.insert((x, y))
        index_of[x, y] = index
    corners = np.asarray(division.getTriangleList()).reshape(-1, 3, 2).tolist()
    found = [[index_of.get((x, y), -1) for x, y in triangle] for triangle in corners]
    # The corners of the division's own outermost triangle are no points of ours.
    return np.array([triangle for triangle in found if -1 not in triangle], dtype=np.intp)


def piecewise_map(
    target: Floats, source: Floats, triangles: Triangles, size: tuple[int, int]
) -> Floats:
    """Gives where each pixel of a picture is to be read.

    Args:
        target: Points [K, 2] in the picture that is made.
        source: The same points in the picture that is read.
        triangles: [N, 3], at most 255.
        size: Width and height of the picture that is made.

    Returns:
        float32 [h, w, 2] (x, y) in pixels of the source. Outside every triangle the pixel
        itself, moved by the mean shift of the points.
    """
    labels = np.zeros((size[1], size[0]), dtype=np.uint8)
    corners = target[triangles]
    fixed = np.round(corners * 2**_SUBPIXEL_BITS).astype(np.int32)
    edges = corners[:, 1:] - corners[:, :1]
    area = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]) / 2
    kept = np.flatnonzero(area >= _LEAST_AREA_PX)
    for label, triangle in enumerate(kept, start=1):
        cv2.fillConvexPoly(labels, fixed[triangle], label, shift=_SUBPIXEL_BITS)
    affine = np.empty((len(kept) + 1, 3, 2), dtype=np.float32)
    affine[0] = [[1, 0], [0, 1], (source - target).mean(axis=0)]
    homogeneous = np.concatenate([corners[kept], np.ones((len(kept), 3, 1))], axis=2)
    affine[1:] = np.linalg.solve(homogeneous, source[triangles][kept].astype(np.float64))
    return _evaluate(affine, labels)


def _evaluate(affine: Floats, labels: npt.NDArray[np.uint8]) -> Floats:
    """Gives the image of every pixel under the map [3, 2] that its label names."""
    height, width = labels.shape
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    places = np.empty((height, width, 2), dtype=np.float32)
    for axis in range(2):
        of_x, of_y, shift = (np.take(affine[:, term, axis], labels) for term in range(3))
        places[..., axis] = of_x * x + of_y * y + shift
    return places


def warp_points(
    image: Frames, source: Floats, target: Floats, triangles: Triangles, size: tuple[int, int]
) -> Frames:
    """Warps an image so that its points `source` come to lie on `target`.

    Args:
        image: uint8 [H, W, 3].
        source: Points [K, 2] in pixels of the image.
        target: The same points in pixels of the picture that is made.
        triangles: [N, 3].
        size: Width and height of the picture that is made.

    Returns:
        uint8 [h, w, 3]; mirrored where the image ends.
    """
    image, source = _shrink(image, source, target)
    return read(image, piecewise_map(target, source, triangles, size))


def read(image: Frames, places: Floats) -> Frames:
    """Reads an image at places [h, w, 2]; cubic, because linear reading blurs more."""
    picture: Frames = cv2.remap(
        image, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return picture


def _shrink(image: Frames, source: Floats, target: Floats) -> tuple[Frames, Floats]:
    """Averages an image down where the warp would shrink it, lest reading skip pixels."""
    low = np.floor(source.min(axis=0)).astype(int) - 2
    high = np.ceil(source.max(axis=0)).astype(int) + 3
    left, top = np.clip(low, 0, (image.shape[1] - 1, image.shape[0] - 1)).tolist()
    right, bottom = np.clip(high, (left + 1, top + 1), (image.shape[1], image.shape[0])).tolist()
    scale = float(np.ptp(target, axis=0).mean() / np.ptp(source, axis=0).mean())
    if scale >= 1:
        return image, source
    part = image[top:bottom, left:right]
    width, height = (max(1, round(side * scale)) for side in (right - left, bottom - top))
    ratio = np.array([width / (right - left), height / (bottom - top)], dtype=np.float32)
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    return small, (source - (left, top) + 0.5).astype(np.float32) * ratio - 0.5
