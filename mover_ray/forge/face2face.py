"""Face2Face-like: mouth and eyes of the target move as those of the driving clip do.

The target's own pixels are bent by a piecewise-affine warp; nothing comes from the
partner but motion.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mover_ray.config import check_range, from_mapping
from mover_ray.forge.base import NUM_LANDMARKS, Clip, Floats, Forgery, require_partner
from mover_ray.forge.blending import Canvas
from mover_ray.forge.detail import Grain, match_detail
from mover_ray.forge.draws import Span, check_span, factor, uniform, until_changed
from mover_ray.forge.landmarks import FRAME, mesh, smooth, to_frame, to_unit, unit_maps
from mover_ray.forge.masks import Edge, hull_outline_of, place
from mover_ray.forge.warping import Triangles, warp_points

_EYES, _MOUTH = (slice(36, 42), slice(42, 48)), slice(48, 68)
_UPPER, _LOWER = np.arange(36, 48), np.arange(48, 68)
_CHIN, _LOWER_LIP = slice(6, 11), slice(55, 60)
# The chin follows the lower lip by this share: the rest is the lip's own motion.
_JAW_SHARE = 0.6
# A driving clip of fewer frames has no rest position of its own.
_LEAST_DRIVE = 8
# Below the chin the warp fades out over twice this length.
_NECK = np.array([0, 0.08], dtype=np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Face2FaceConfig:
    """Ranges of strengths, one draw a clip. Lengths are shares of the face's side."""

    strength: Span = (0.8, 1.4)
    """The driving motion is multiplied by this."""
    eyes: float = 0.5
    """Probability that the eyes are driven as well as the mouth."""
    softness: Span = (0.01, 0.03)
    """Sigma of the mask's edge."""
    cut: float = 0.05
    """How much of the soft edge is eroded; little, because the warp fades out by itself."""
    sharpness: float = 0.4
    """Fine detail inside is e^±sharpness times the original's."""
    smoothing_frames: float = 1.5
    """Landmarks of both clips, and so the motion, are averaged over time with this sigma."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a value out of its range."""
        check_span(self, "strength", 0, 5)
        check_range(self, "eyes", 0, 1)
        check_span(self, "softness", 0, 0.2)
        check_range(self, "cut", 0.02, 0.9)
        check_range(self, "sharpness", 0, 2)
        check_range(self, "smoothing_frames", 0, 100)


@dataclass(frozen=True, slots=True)
class _Strengths:
    """One set of draws."""

    strength: float
    start: int  # frame of the driving clip
    parts: list[npt.NDArray[np.intp]]  # driven landmarks, one region each
    edge: Edge
    sharpness: float
    grain: Grain


@dataclass(frozen=True, slots=True)
class Face2Face:
    """Gives a clip's person the expressions of the partner."""

    config: Face2FaceConfig
    name: str = "face2face"
    needs_partner: bool = True

    def __call__(self, clip: Clip, partner: Clip | None, rng: np.random.Generator) -> Forgery:
        """Forges a clip; see `Manipulation`."""
        driver = require_partner(self.name, partner)
        sigma = self.config.smoothing_frames
        landmarks = smooth(clip.landmarks, sigma)
        motion = to_unit(smooth(driver.landmarks, sigma))
        return until_changed(clip, lambda: self._attempt(clip, landmarks, motion, rng))

    def _attempt(
        self, clip: Clip, landmarks: Floats, driver: Floats, rng: np.random.Generator
    ) -> Forgery:
        drawn = self._draw(rng, len(driver))
        points, maps, triangles = to_unit(landmarks), unit_maps(landmarks), mesh(landmarks)
        moved = points + _displacements(points, driver, drawn)
        frame_points = np.broadcast_to(FRAME, (len(points), *FRAME.shape))
        given = to_frame(maps, np.concatenate([points, frame_points], axis=1))
        wanted = to_frame(maps, np.concatenate([moved, frame_points], axis=1))
        canvas = Canvas(clip)
        for index, frame in enumerate(clip.frames):
            for part in drawn.parts:
                outline = _touched(moved[index], part, triangles)
                region, mask = place(outline, maps[index], drawn.edge, frame)
                places = wanted[index] - region.origin
                picture = warp_points(frame, given[index], places, triangles, region.size)
                sharp = match_detail(picture, region.cut(frame), mask, drawn.sharpness, drawn.grain)
                canvas.paint(index, region, sharp, mask)
        return canvas.forgery()

    def _draw(self, rng: np.random.Generator, driving_frames: int) -> _Strengths:
        config = self.config
        return _Strengths(
            strength=uniform(rng, config.strength),
            start=int(rng.integers(2 * driving_frames)),
            parts=[_LOWER, _UPPER] if rng.random() < config.eyes else [_LOWER],
            edge=Edge(uniform(rng, config.softness), config.cut),
            sharpness=factor(rng, config.sharpness),
            grain=Grain(rng),
        )


def build(settings: Mapping[str, Any]) -> Face2Face:
    """Builds the manipulation.

    Raises:
        ConfigError: A setting is unknown or out of its range.
    """
    return Face2Face(from_mapping(Face2FaceConfig, settings))


def _displacements(points: Floats, driver: Floats, drawn: _Strengths) -> Floats:
    """Gives how each landmark moves [T, 68, 2], in unit coordinates.

    Mouth and eyes leave the target's motion and take the driver's: its difference from its
    own rest position (its mean) is added to the target's. The places of the parts in the
    face stay the target's.
    """
    rest = driver if len(driver) >= _LEAST_DRIVE else points
    driving = driver[_to_and_fro(drawn.start, len(points), len(driver))]
    displaced = np.zeros_like(points)
    for part in [_MOUTH, *_EYES]:
        if not any(part.start in driven for driven in drawn.parts):
            continue
        expression = _centred(driving, part) - _centred(rest, part).mean(axis=0)
        wanted = _centred(points, part).mean(axis=0) + drawn.strength * expression
        displaced[:, part] = wanted - _centred(points, part)
    drop = displaced[:, _LOWER_LIP, 1].mean(axis=1)
    displaced[:, _CHIN, 1] = _JAW_SHARE * drop[:, None]
    return displaced


def _to_and_fro(start: int, frames: int, length: int) -> npt.NDArray[np.intp]:
    """Gives indices [frames] that run through a clip forwards and backwards without a jump."""
    period = max(2 * length - 2, 1)
    place = (start + np.arange(frames)) % period
    return np.asarray(np.minimum(place, period - place) if length > 1 else 0 * place, np.intp)


def _centred(points: Floats, part: slice) -> Floats:
    chosen = points[:, part]
    return np.asarray(chosen - chosen.mean(axis=1, keepdims=True), dtype=np.float32)


def _touched(points: Floats, part: npt.NDArray[np.intp], triangles: Triangles) -> Floats:
    """Gives the hull [Q, 2] of the triangles of the face that a driven landmark pulls at."""
    pulled = np.isin(triangles, part).any(axis=1)
    corners = np.unique(triangles[pulled])
    inside = points[corners[corners < NUM_LANDMARKS]]
    chin = points[_CHIN] + _NECK if part is _LOWER else inside[:0]
    return hull_outline_of(np.concatenate([inside, chin]))
