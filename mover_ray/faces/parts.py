"""Facial parts: polygons and boxes in a crop, and sets of patches of a ViT's grid.

Landmarks are iBUG's 68 points, 0-based: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47,
mouth 48-67. Left and right are the picture's.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.errors import ConfigError
from mover_ray.faces.base import Floats

PatchMasks = dict[str, npt.NDArray[np.bool_]]

#: Names of the parts of each partition. `raster` and `bands` cover every patch exactly
#: once; `roi` covers the parts of the face and leaves hair, ears and background out.
PARTITIONS = {
    "raster": ("eyes", "nose_cheek", "lips"),
    "bands": ("eyes", "nose_cheek", "lips"),
    "roi": ("brows", "eyes", "nose_root", "nose", "cheeks", "mouth", "chin"),
}

# Where polygons overlap, the later part is seen: small parts lie on top of large ones.
_PAINTED = ("chin", "cheeks", "mouth", "nose", "nose_root", "eyes", "brows")
# A part needs at least this share of a patch to claim it. Ours: a brow is half a patch
# high at 14x14 and may straddle two rows.
_LEAST_SHARE = 0.15
_SUBPIXEL_BITS = 4


def patch_masks(landmarks: Floats, size_px: int, patch_px: int, partition: str) -> PatchMasks:
    """Gives the patches that belong to each part of a face.

    Args:
        landmarks: [68, 2] in pixels of the crop; points outside count as on its border.
        size_px: Side of the crop, a multiple of `patch_px`.
        patch_px: Side of a patch.
        partition: A key of `PARTITIONS`.

    Returns:
        For each name bool [N], N patches in raster order; no patch has two parts. A part
        may have no patch, where the face leaves the crop or (`raster`) is turned.

    Raises:
        ConfigError: The partition is unknown or patches do not fill the crop.
    """
    if partition not in PARTITIONS:
        listed = ", ".join(f"`{name}`" for name in PARTITIONS)
        raise ConfigError(f"unknown partition: `{partition}`", hint=f"choose one of {listed}")
    if size_px % patch_px:
        raise ConfigError(f"patches of {patch_px} px do not fill a crop of {size_px} px")
    masks: dict[str, Callable[[Floats, int, int], PatchMasks]] = {
        "raster": _raster,
        "bands": _bands,
        "roi": _roi,
    }
    return masks[partition](np.asarray(landmarks, np.float32), size_px, patch_px)


def part_polygons(landmarks: Floats) -> dict[str, list[Floats]]:
    """Gives the outlines of the seven parts of `roi`.

    Source: the regions follow the action units of FACS, as Mover and Delocate use them;
    their papers draw no borders. Differs: the borders are ours.

    Args:
        landmarks: [68, 2].

    Returns:
        One convex polygon [P, 2] a part, two (left, right) for brows, eyes and cheeks.
    """
    points = _part_points(np.asarray(landmarks, np.float32))
    return {part: [_hull(one) for one in pieces] for part, pieces in points.items()}


def _part_points(landmarks: Floats) -> dict[str, list[Floats]]:
    """Gives, by part, the points whose convex hulls are its outlines."""
    up = landmarks[17:27].mean(axis=0) - landmarks[36:48].mean(axis=0)
    sideways = (landmarks[35] - landmarks[31]) / 4
    mouth = landmarks[48:60]
    return {
        "brows": [_band(landmarks[part], up, 0.25) for part in _BROWS],
        "eyes": [_band(landmarks[part], up, 0.3) for part in _EYES],
        "nose_root": [landmarks[[21, 22, 42, 28, 39]]],
        "nose": [np.vstack([landmarks[27:36], landmarks[31] - sideways, landmarks[35] + sideways])],
        "cheeks": [
            np.vstack([landmarks[part[:-3]], landmarks[part[-3:]] - 0.3 * up]) for part in _CHEEKS
        ],
        "mouth": [mouth + 0.15 * (mouth - mouth.mean(axis=0))],
        "chin": [landmarks[[*range(5, 12), *range(54, 60), 48]]],
    }


_LOWER_LIDS = [40, 41, 46, 47]
_BROWS = (slice(17, 22), slice(22, 27))
_EYES = (slice(36, 42), slice(42, 48))
# Jaw, corner of the mouth, wing of the nose; the last three lie under the eye.
_CHEEKS = ([1, 2, 3, 4, 48, 31, 39, 41, 36], [15, 14, 13, 12, 54, 35, 42, 46, 45])


def part_boxes(landmarks: Floats, size_px: int) -> dict[str, Floats]:
    """Gives the upright box around each part of `roi`.

    Args:
        landmarks: [68, 2] in pixels of the crop.
        size_px: Side of the crop.

    Returns:
        float32 [4] xyxy inside the crop by name; pairs as `brows_left`, `brows_right` and
        so on. Parts outside the crop are absent.
    """
    boxes = {}
    for part, pieces in _part_points(np.asarray(landmarks, np.float32)).items():
        names = [part] if len(pieces) == 1 else [f"{part}_left", f"{part}_right"]
        for name, points in zip(names, pieces, strict=True):
            # Points name centres of pixels, boxes their edges.
            ends = np.concatenate([points.min(axis=0), points.max(axis=0)]) + 0.5
            box = np.clip(ends, 0, size_px).astype(np.float32)
            if (box[:2] < box[2:]).all():
                boxes[name] = box
    return boxes


def _raster(landmarks: Floats, size_px: int, patch_px: int) -> PatchMasks:
    """Algorithm 1: raster order up to the patch of landmark 17, then of 16 (1-based).

    Source: DeepfakeMAE (arXiv 2303.01740), Algorithm 1.
    """
    grid = size_px // patch_px
    cells = np.clip(np.floor((landmarks + 0.5) / patch_px), 0, grid - 1).astype(int)
    first, second = (cells[point, 1] * grid + cells[point, 0] for point in (16, 15))
    order = np.arange(grid * grid)
    eyes, lips = order <= first, order > max(first, second)
    return {"eyes": eyes, "nose_cheek": ~eyes & ~lips, "lips": lips}


def _bands(landmarks: Floats, size_px: int, patch_px: int) -> PatchMasks:
    """Whole rows, parted at the lower eyelids and under the nose; each has one at least."""
    grid = size_px // patch_px
    if grid < 3:
        raise ConfigError(f"three bands need three rows of patches: {size_px} / {patch_px} px")
    lids, subnasale = float(landmarks[_LOWER_LIDS, 1].mean()), float(landmarks[33, 1])
    upper = min(max(_row(lids, patch_px), 0), grid - 3)
    lower = min(max(_row(subnasale, patch_px), upper + 1), grid - 2)
    rows = np.arange(grid * grid) // grid
    eyes, lips = rows <= upper, rows > lower
    return {"eyes": eyes, "nose_cheek": ~eyes & ~lips, "lips": lips}


def _row(y: float, patch_px: int) -> int:
    return math.floor((y + 0.5) / patch_px)


def _roi(landmarks: Floats, size_px: int, patch_px: int) -> PatchMasks:
    """Each patch goes to the part that fills most of it, if any fills enough."""
    grid = size_px // patch_px
    labels = _paint(landmarks, size_px).reshape(grid, patch_px, grid, patch_px)
    shares = [(labels == number).mean(axis=(1, 3)).ravel() for number in range(1, 8)]
    owner = np.argmax(shares, axis=0)
    claimed = np.max(shares, axis=0) >= _LEAST_SHARE
    masks = {part: claimed & (owner == number) for number, part in enumerate(_PAINTED)}
    return {part: masks[part] for part in PARTITIONS["roi"]}


def _paint(landmarks: Floats, size_px: int) -> npt.NDArray[np.uint8]:
    """Gives the number of the part, from 1 in painting order, at each pixel; 0 is none."""
    labels = np.zeros((size_px, size_px), dtype=np.uint8)
    polygons = part_polygons(landmarks)
    for number, part in enumerate(_PAINTED, start=1):
        for polygon in polygons[part]:
            points = np.round(polygon * 2**_SUBPIXEL_BITS).astype(np.int32)
            cv2.fillConvexPoly(labels, points, number, shift=_SUBPIXEL_BITS)
    return labels


def _band(points: Floats, up: Floats, half: float) -> Floats:
    """Thickens a line of points by `half` the way from eyes to brows, upwards and downwards."""
    return np.concatenate([points + half * up, points - half * up])


def _hull(points: npt.ArrayLike) -> Floats:
    hull = cv2.convexHull(np.asarray(points, dtype=np.float32))
    return np.asarray(hull, dtype=np.float32)[:, 0]
