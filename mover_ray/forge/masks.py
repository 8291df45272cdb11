"""Soft masks: an outline in unit coordinates, and how it is laid over a frame.

Q: points of an outline   h, w: pixels of a region of the frame
"""

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.faces.warping import Affine, scale_of, transform
from mover_ray.forge.base import Floats, Frames

#: Parts of the face that a hull may enclose; `forehead` reaches above the brows.
HULLS = ("forehead", "face", "inner", "lower")

_HULL_POINTS: dict[str, list[int]] = {
    "forehead": list(range(68)),
    "face": list(range(68)),
    "inner": list(range(17, 68)),
    "lower": [*range(2, 15), *range(29, 36), *range(48, 60)],
}
_BROWS = slice(17, 27)
_OUTLINE_POINTS = 96
_SUBPIXEL_BITS = 4
# A Gaussian of this many samples a sigma and more is drawn coarsely, then enlarged.
_SAMPLES_A_SIGMA = 2.0
# Gaussian tails beyond are nothing; `Edge.cut` removes them from 2.1 sigma on.
_REACH_SIGMAS = 3.0
# Filling a polygon smoothly touches pixels this far beside its outline.
_LINE_PX = 2.0


Array = TypeVar("Array", bound=npt.NDArray[Any])


@dataclass(frozen=True, slots=True)
class Region:
    """An upright rectangle of a frame: pixels left <= x < right, top <= y < bottom."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    @property
    def origin(self) -> Floats:
        """[2]: its first pixel (x, y)."""
        return np.array([self.left, self.top], dtype=np.float32)

    def cut(self, image: Array) -> Array:
        """Gives the part [h, w, ...] of an image as a view."""
        return cast("Array", image[self.top : self.bottom, self.left : self.right])


@dataclass(frozen=True, slots=True)
class Edge:
    """How a mask falls off at its outline."""

    softness: float
    """Sigma of the Gaussian in sides of the face."""
    cut: float
    """What is below counts as outside, in [0.02, 1): the higher, the more is eroded."""


@dataclass(frozen=True, slots=True)
class Waves:
    """A smooth deformation of an outline: cosines of the angle around its centre."""

    heights: npt.NDArray[np.float64]
    """[K], for 1 to K periods, in shares of the radius."""
    phases: npt.NDArray[np.float64]
    """[K] in radians."""

    @classmethod
    def draw(cls, rng: np.random.Generator, most: float) -> "Waves":
        """Draws five waves whose heights add up to at most `most`."""
        heights = rng.uniform(-1, 1, 5) * most / 5
        return cls(heights, rng.uniform(0, 2 * np.pi, 5))

    def apply(self, outline: npt.NDArray[np.floating]) -> Floats:
        """Deforms an outline [Q, 2]."""
        centre = outline.mean(axis=0)
        spokes = outline - centre
        angle = np.arctan2(spokes[:, 1], spokes[:, 0])
        periods = np.arange(1, len(self.heights) + 1)
        waves = self.heights * np.cos(angle[:, None] * periods + self.phases)
        deformed = centre + spokes * (1 + waves.sum(axis=1, keepdims=True))
        return np.asarray(deformed, dtype=np.float32)


def hull_outline(points: Floats, hull: str, lift: float) -> Floats:
    """Gives the outline of a part of the face.

    Args:
        points: Unit landmarks [68, 2].
        hull: One of `HULLS`.
        lift: How far above the brows `forehead` reaches, in sides of the face.

    Returns:
        [Q, 2], evenly spaced.
    """
    chosen = points[_HULL_POINTS[hull]]
    if hull == "forehead":
        chosen = np.concatenate([chosen, points[_BROWS] - np.array([0, lift])])
    return hull_outline_of(chosen)


def hull_outline_of(points: Floats) -> Floats:
    """Gives the convex hull of any points [K, 2] as an outline [Q, 2]."""
    return _resample(cv2.convexHull(np.asarray(points, dtype=np.float32))[:, 0])


def ellipse_outline(centre: Floats, axes: Floats) -> Floats:
    """Gives an upright ellipse [Q, 2] from its centre [2] and half axes [2]."""
    angle = np.linspace(0, 2 * np.pi, _OUTLINE_POINTS, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(centre + axes * circle, dtype=np.float32)


def rectangle_outline(low: Floats, high: Floats) -> Floats:
    """Gives an upright rectangle [Q, 2] from two corners [2]."""
    corners = [low, (high[0], low[1]), high, (low[0], high[1])]
    return _resample(np.array(corners, dtype=np.float32))


def place(
    outline: npt.NDArray[np.floating], to_unit: Affine, edge: Edge, frame: Frames
) -> tuple[Region, Floats]:
    """Lays an outline over a frame.

    Args:
        outline: [Q, 2] in unit coordinates.
        to_unit: [2, 3], pixels of the frame to unit coordinates.
        edge: How the mask falls off.
        frame: [H, W, 3].

    Returns:
        The part of the frame that holds the mask, and the mask in it; see `soft_mask`.
    """
    back = cv2.invertAffineTransform(np.asarray(to_unit, dtype=np.float64))
    points, softness_px = transform(back, outline), edge.softness / scale_of(to_unit)
    region = enclosing(points, softness_px, frame)
    return region, soft_mask(points, softness_px, edge.cut, region)


def enclosing(outline: Floats, softness_px: float, frame: Frames) -> Region:
    """Gives the least region that holds the soft mask of an outline, clipped to the frame.

    Args:
        outline: [Q, 2] in pixels of the frame.
        softness_px: Sigma of the mask's edge.
        frame: [H, W, 3].

    Returns:
        Never empty: one pixel at least, at the border next to an outline that lies outside.
    """
    reach = _REACH_SIGMAS * softness_px + _LINE_PX
    limit = (frame.shape[1], frame.shape[0])
    low = np.clip(np.floor(outline.min(axis=0) - reach), 0, np.subtract(limit, 1)).astype(int)
    high = np.clip(np.ceil(outline.max(axis=0) + reach) + 1, low + 1, limit).astype(int)
    return Region(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def soft_mask(outline: Floats, softness_px: float, cut: float, region: Region) -> Floats:
    """Fills an outline and softens its edge.

    Args:
        outline: [Q, 2] in pixels of the frame.
        softness_px: Sigma of the edge.
        cut: See `Edge.cut`.
        region: From `enclosing`.

    Returns:
        float32 [h, w] in [0, 1], exactly 0 far enough outside.
    """
    coarse = max(1, int(softness_px / _SAMPLES_A_SIGMA))
    width, height = (-(-side // coarse) for side in region.size)
    scale = np.array([width, height], dtype=np.float32) / region.size
    points = (outline - region.origin + 0.5) * scale - 0.5
    filled = np.zeros((height, width), dtype=np.uint8)
    fixed = np.round(points * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(filled, [fixed], 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)
    mask = filled.astype(np.float32) / 255
    sigma = softness_px * float(scale.mean())
    if sigma > 0:
        mask = cv2.GaussianBlur(mask, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    mask = np.clip((mask - cut) / (1 - cut), 0, 1)
    if coarse > 1:
        mask = cv2.resize(mask, region.size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(mask, 0, 1), dtype=np.float32)


def _resample(polygon: Floats) -> Floats:
    """Gives points [Q, 2] evenly spaced along a closed polygon."""
    closed = np.concatenate([polygon, polygon[:1]])
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    places = np.linspace(0, length[-1], _OUTLINE_POINTS, endpoint=False)
    return np.stack([np.interp(places, length, closed[:, axis]) for axis in range(2)], axis=1)
