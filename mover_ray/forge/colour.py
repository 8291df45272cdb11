"""Colour: drawn changes, and the colours of one face given to another."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.config import check_range
from mover_ray.faces.warping import warp
from mover_ray.forge.base import Floats, Frames
from mover_ray.forge.draws import factor
from mover_ray.forge.landmarks import smooth, to_unit, unit_maps
from mover_ray.forge.masks import hull_outline

Matrix = npt.NDArray[np.float32]

# BT.601, as JPEG and most video: what saturation keeps.
_LUMA = np.array([0.299, 0.587, 0.114])
# Keeps a flat picture's colours from being stretched into noise.
_LEAST_DEVIATION = 1.0
_MOST_STRETCH = 1.5
# Side of the small aligned face that statistics are taken of.
_CHIP_PX = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourConfig:
    """How far colours may move, each way as often as the other."""

    gain: float = 0.05
    """Each channel is multiplied by up to e^±gain."""
    brightness: float = 10.0
    """Gray levels added, up to ±."""
    contrast: float = 0.12
    """Contrast around mid-gray is multiplied by up to e^±contrast."""
    saturation: float = 0.25
    """Distance from gray is multiplied by up to e^±saturation."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a value out of its range."""
        check_range(self, "gain", 0, 0.5)
        check_range(self, "brightness", 0, 64)
        check_range(self, "contrast", 0, 0.7)
        check_range(self, "saturation", 0, 1)


def draw_colour(rng: np.random.Generator, config: ColourConfig) -> Matrix:
    """Draws a change of colour: a matrix [3, 4] for `recolour`."""
    gains = np.exp(rng.uniform(-config.gain, config.gain, 3))
    saturation = factor(rng, config.saturation)
    contrast = factor(rng, config.contrast)
    gray = np.tile(_LUMA, (3, 1))
    linear = contrast * gains[:, None] * (gray + saturation * (np.eye(3) - gray))
    offset = 128 * (1 - contrast) + rng.uniform(-config.brightness, config.brightness)
    return np.column_stack([linear, np.full(3, offset)]).astype(np.float32)


def recolour(picture: npt.NDArray[np.generic], matrix: Matrix) -> Floats:
    """Gives RGB [h, w, 3] in [0, 255] under a matrix [3, 4] of RGB and 1; may leave the range."""
    return np.asarray(cv2.transform(picture.astype(np.float32), matrix), dtype=np.float32)


def to_lab(picture: npt.NDArray[np.generic]) -> Floats:
    """Gives RGB [h, w, 3] in [0, 255] as CIE Lab, float32."""
    scaled = np.clip(picture.astype(np.float32) / 255, 0, 1)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB), dtype=np.float32)


def to_rgb(lab: Floats) -> Floats:
    """Gives CIE Lab as RGB float32 in [0, 255]."""
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255, dtype=np.float32)


def lab_statistics(picture: Frames | Floats, mask: Floats) -> Floats:
    """Gives mean and standard deviation [2, 3] of each Lab channel under a mask [h, w].

    An empty mask counts as the whole picture.
    """
    lab = to_lab(picture).reshape(-1, 3)
    weights = mask.reshape(-1) if mask.any() else np.ones(len(lab), dtype=np.float32)
    total = weights.sum()
    mean = weights @ lab / total
    variance = weights @ (lab - mean) ** 2 / total
    return np.stack([mean, np.sqrt(variance)]).astype(np.float32)


def transfer(
    picture: npt.NDArray[np.generic], given: Floats, wanted: Floats, strength: float
) -> Floats:
    """Moves a picture's Lab statistics towards others.

    Source: Reinhard et al., "Color transfer between images" (2001).
    Differs: in CIE Lab; the stretch is limited to a factor of 1.5 each way.

    Args:
        picture: RGB [h, w, 3] in [0, 255].
        given: Its statistics [2, 3], from `lab_statistics`.
        wanted: Statistics to reach [2, 3].
        strength: Share of the way in [0, 1].

    Returns:
        RGB float32 [h, w, 3] in [0, 255].
    """
    ratio = np.maximum(wanted[1], _LEAST_DEVIATION) / np.maximum(given[1], _LEAST_DEVIATION)
    stretch = np.clip(ratio, 1 / _MOST_STRETCH, _MOST_STRETCH)
    lab = to_lab(picture)
    moved = (lab - given[0]) * stretch + wanted[0]
    return to_rgb(lab + np.float32(strength) * (moved - lab))


def face_statistics(frames: Sequence[Frames], landmarks: Floats, smoothing_frames: float) -> Floats:
    """Gives the Lab statistics [T, 2, 3] of the face in each frame, averaged over time.

    Args:
        frames: T times uint8 RGB [H, W, 3].
        landmarks: [T, 68, 2].
        smoothing_frames: Sigma of the average, so that the transfer does not flicker.
    """
    chips = unit_maps(landmarks) * _CHIP_PX
    outlines = [hull_outline(points, "face", 0.0) for points in to_unit(landmarks)]
    found = [
        lab_statistics(warp(frame, affine, _CHIP_PX), _filled(outline))
        for frame, affine, outline in zip(frames, chips, outlines, strict=True)
    ]
    return smooth(np.stack(found), smoothing_frames)


def _filled(outline: Floats) -> Floats:
    mask = np.zeros((_CHIP_PX, _CHIP_PX), dtype=np.uint8)
    cv2.fillPoly(mask, [np.round(outline * _CHIP_PX).astype(np.int32)], 1)
    return mask.astype(np.float32)
