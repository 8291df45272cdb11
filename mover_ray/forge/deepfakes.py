"""Deepfakes-like: a coarse face of the partner, in a rectangle over the target's.

What the autoencoders of the first deepfakes do, without training one: the target's
aligned face at a low resolution is expressed by the partner's few principal components,
so that it has the partner's looks and a weak echo of the target's expression.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mover_ray.config import check_at_least, check_range, from_mapping
from mover_ray.forge.base import NUM_LANDMARKS, Clip, Floats, Forgery, Frames, require_partner
from mover_ray.forge.blending import SEAMS, Canvas, hide_seam
from mover_ray.forge.colour import face_statistics, transfer
from mover_ray.forge.detail import Grain, match_detail
from mover_ray.forge.draws import Span, check_span, factor, uniform, until_changed
from mover_ray.forge.landmarks import FRAME, mesh, smooth, surround, to_unit, unit_maps
from mover_ray.forge.masks import Edge, Region, hull_outline_of, place, rectangle_outline, soft_mask
from mover_ray.forge.partners import Donors, find_donors
from mover_ray.forge.warping import warp_points

# What a chip shows, in unit coordinates: a square with the face in its middle.
_CHIP_LOW, _CHIP_SIDE = np.array([-0.2, -0.3], dtype=np.float32), 1.4
# Frames of the partner that its components are taken from.
_SAMPLES = 32
# Beyond this many standard deviations a component shows noise, no expression.
_MOST_DEVIATION = 2.0
# The rectangle ends this far inside the face's outline: beyond lies background.
_LEAST_MARGIN = 0.05
# Sigma of the passage from the partner's face to the target's surroundings, of a chip's side.
_FACE_EDGE = 0.025


@dataclass(frozen=True, kw_only=True, slots=True)
class DeepfakesConfig:
    """Ranges of strengths, one draw a clip. Lengths are shares of the face's side."""

    size_px: Span = (64.0, 128.0)
    """Side of the low-resolution face. Source: the networks of the time."""
    blur_px: Span = (0.2, 0.7)
    """Sigma of the blur at that resolution."""
    components: int = 8
    """Most principal components of the partner; fewer frames give fewer."""
    margin_x: Span = (0.06, 0.2)
    """How far the rectangle stays inside the face, left and right."""
    top: Span = (-0.04, 0.06)
    """Where it begins; the brows lie at 0.03."""
    bottom: Span = (0.76, 0.9)
    """Where it ends; the lower lip lies at 0.75, the chin at 0.98."""
    softness: Span = (0.015, 0.05)
    """Sigma of the mask's edge."""
    cut: Span = (0.05, 0.5)
    """How much of the soft edge is eroded."""
    colour_strength: Span = (0.7, 1.0)
    """Share of the way from the partner's colours to the target's."""
    most_distance: float = 0.085
    """Partners whose nearest pose is farther away are refused; see `find_donors`."""
    sharpness: float = 0.5
    """Fine detail inside is e^±sharpness times the original's."""
    smoothing_frames: float = 1.5
    """Landmarks of both clips are averaged over time with this sigma."""
    colour_smoothing_frames: float = 6.0
    """Colour statistics are averaged over time with this sigma."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a value out of its range."""
        check_span(self, "size_px", 16, 512)
        check_span(self, "blur_px", 0, 10)
        check_at_least(self, "components", 0)
        check_span(self, "margin_x", -0.2, 0.3)
        check_span(self, "top", -0.3, 0.4)
        check_span(self, "bottom", 0.6, 1.1)
        check_span(self, "softness", 0, 0.2)
        check_span(self, "cut", 0.02, 0.9)
        check_span(self, "colour_strength", 0, 1)
        check_range(self, "most_distance", 0, 1)
        check_range(self, "sharpness", 0, 2)
        check_range(self, "smoothing_frames", 0, 100)
        check_range(self, "colour_smoothing_frames", 0, 1000)


@dataclass(frozen=True, slots=True)
class _Strengths:
    """One set of draws."""

    size_px: int
    blur_px: float
    low: Floats  # [2], corner of the rectangle in unit coordinates
    high: Floats  # [2]
    edge: Edge
    seam: str
    colour: float
    sharpness: float
    grain: Grain


@dataclass(frozen=True, slots=True)
class Deepfakes:
    """Gives a clip's person a coarse face of the partner."""

    config: DeepfakesConfig
    name: str = "deepfakes"
    needs_partner: bool = True

    def __call__(self, clip: Clip, partner: Clip | None, rng: np.random.Generator) -> Forgery:
        """Forges a clip; see `Manipulation`."""
        giver = require_partner(self.name, partner)
        config = self.config
        landmarks = smooth(clip.landmarks, config.smoothing_frames)
        donors = find_donors(landmarks, giver, config.smoothing_frames, config.most_distance)
        return until_changed(clip, lambda: self._attempt(clip, landmarks, donors, rng))

    def _attempt(
        self, clip: Clip, landmarks: Floats, donors: Donors, rng: np.random.Generator
    ) -> Forgery:
        drawn = _draw(rng, self.config)
        chips = _Chips(landmarks, drawn.size_px)
        looks = _Looks.of(chips, donors, self.config.components)
        sigma = self.config.colour_smoothing_frames
        colours = face_statistics(list(clip.frames), landmarks, sigma)
        maps, outline = unit_maps(landmarks), _rectangle(drawn, to_unit(landmarks))
        canvas = Canvas(clip)
        for index, frame in enumerate(clip.frames):
            region, mask = place(outline, maps[index], drawn.edge, frame)
            target = region.cut(frame)
            chip = chips.cut(frame, index)
            seen = transfer(chip, colours[index], looks.colours, 1.0)
            made = transfer(looks.express(seen), looks.colours, colours[index], drawn.colour)
            made = chips.surrounded(made, chip)
            pasted = chips.paste(_blur(made, drawn.blur_px), index, region)
            picture = hide_seam(target, pasted.astype(np.float32), mask, drawn.seam)
            picture = match_detail(picture, target, mask, drawn.sharpness, drawn.grain)
            canvas.paint(index, region, picture, mask)
        return canvas.forgery()


class _Chips:
    """Cuts small faces that all have one shape: the mean of the target's."""

    def __init__(self, landmarks: Floats, size_px: int) -> None:
        self._size_px = size_px
        self.points = surround(landmarks)  # [T, 80, 2], pixels of the target's frames
        self.triangles = mesh(landmarks)
        shape = np.concatenate([to_unit(landmarks).mean(axis=0), FRAME])
        scaled = (shape - _CHIP_LOW) * (size_px / _CHIP_SIDE) - 0.5
        self.shape: Floats = np.asarray(scaled, dtype=np.float32)  # [80, 2], pixels of a chip
        outline, softness_px = hull_outline_of(self.shape[:NUM_LANDMARKS]), _FACE_EDGE * size_px
        self._face = soft_mask(outline, softness_px, 0.5, Region(0, 0, size_px, size_px))

    def cut(self, frame: Frames, index: int) -> Frames:
        """Gives the target's face in one of its frames: uint8 [size_px, size_px, 3]."""
        return self.cut_at(frame, self.points[index])

    def cut_at(self, frame: Frames, points: Floats) -> Frames:
        """Gives the face at points [80, 2] of any frame."""
        size = (self._size_px, self._size_px)
        return warp_points(frame, points, self.shape, self.triangles, size)

    def surrounded(self, face: Floats, chip: Frames) -> Floats:
        """Gives a face [size_px, size_px, 3] amid the hair and background of a chip."""
        base = chip.astype(np.float32)
        return np.asarray(base + self._face[..., None] * (face - base), dtype=np.float32)

    def paste(self, chip: Frames, index: int, region: Region) -> Frames:
        """Gives what a region of a frame shows with the chip laid over the face."""
        places = self.points[index] - region.origin
        return warp_points(chip, self.shape, places, self.triangles, region.size)


@dataclass(frozen=True, slots=True)
class _Looks:
    """A person's faces as a mean and a few directions.

    N: values of a chip   C: components
    """

    shape: tuple[int, ...]
    mean_N: Floats
    basis_CN: Floats
    """Orthonormal."""
    deviation_C: Floats
    """Standard deviation along each direction."""
    colours: Floats
    """[2, 3]: mean Lab statistics of the faces."""

    @classmethod
    def of(cls, chips: _Chips, donors: Donors, components: int) -> "_Looks":
        """Finds the looks of the partner in frames spread over the chosen ones."""
        chosen = np.unique(np.linspace(0, len(donors.frames) - 1, _SAMPLES).round().astype(int))
        frames = [donors.clip.frames[donors.frames[index]] for index in chosen]
        landmarks = donors.landmarks[chosen]
        faces = [chips.cut_at(*pair) for pair in zip(frames, surround(landmarks), strict=True)]
        rows = np.stack([face.reshape(-1) for face in faces]).astype(np.float32)
        mean = rows.mean(axis=0)
        _, scales, basis = np.linalg.svd(rows - mean, full_matrices=False)
        deviation = scales / np.sqrt(len(rows))
        # Directions without variance are arbitrary.
        kept = min(components, int((deviation > 1e-3 * max(deviation[0], 1.0)).sum()))
        return cls(
            shape=faces[0].shape,
            mean_N=mean,
            basis_CN=basis[:kept],
            deviation_C=deviation[:kept],
            colours=face_statistics(frames, landmarks, 0.0).mean(axis=0),
        )

    def express(self, chip: Floats) -> Floats:
        """Gives the partner's face that is most like a chip [h, w, 3] in [0, 255]."""
        weights = self.basis_CN @ (chip.reshape(-1) - self.mean_N)
        limit = _MOST_DEVIATION * self.deviation_C
        face = self.mean_N + np.clip(weights, -limit, limit) @ self.basis_CN
        return np.asarray(face.reshape(self.shape), dtype=np.float32)


def build(settings: Mapping[str, Any]) -> Deepfakes:
    """Builds the manipulation.

    Raises:
        ConfigError: A setting is unknown or out of its range.
    """
    return Deepfakes(from_mapping(DeepfakesConfig, settings))


def _draw(rng: np.random.Generator, config: DeepfakesConfig) -> _Strengths:
    return _Strengths(
        size_px=round(uniform(rng, config.size_px)),
        blur_px=uniform(rng, config.blur_px),
        low=np.array([uniform(rng, config.margin_x), uniform(rng, config.top)], np.float32),
        high=np.array([1 - uniform(rng, config.margin_x), uniform(rng, config.bottom)], np.float32),
        edge=Edge(uniform(rng, config.softness), uniform(rng, config.cut)),
        seam=str(rng.choice(SEAMS)),
        colour=uniform(rng, config.colour_strength),
        sharpness=factor(rng, config.sharpness),
        grain=Grain(rng),
    )


def _rectangle(drawn: _Strengths, points: Floats) -> Floats:
    """Gives the rectangle's outline [Q, 2]; a turned face [T, 68, 2] makes it narrower."""
    edges = points[..., 0].mean(axis=0)
    low_x = max(drawn.low[0], edges.min() + _LEAST_MARGIN)
    high_x = min(drawn.high[0], edges.max() - _LEAST_MARGIN)
    corners = np.array([[low_x, drawn.low[1]], [high_x, drawn.high[1]]], dtype=np.float32)
    return rectangle_outline(*corners)


def _blur(chip: Floats, sigma_px: float) -> Frames:
    blurred = cv2.GaussianBlur(chip, (0, 0), sigma_px) if sigma_px > 0 else chip
    return np.asarray(np.clip(np.rint(blurred), 0, 255), dtype=np.uint8)
