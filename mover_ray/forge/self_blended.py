"""Self-blended: a face is mixed with a slightly changed copy of itself.

Source: Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images" (CVPR 2022).
Differs: the copy alone is changed, never the frame around it; sharpness is balanced
(`forge.detail`); the hull is deformed along its outline; one set of strengths can hold
for a whole clip, with or without jitter of the landmarks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from mover_ray.config import check_choice, check_range, from_mapping
from mover_ray.errors import ConfigError
from mover_ray.faces.warping import Affine
from mover_ray.forge.base import Clip, Floats, Forgery, Frames
from mover_ray.forge.blending import Canvas
from mover_ray.forge.colour import ColourConfig, Matrix, draw_colour, recolour
from mover_ray.forge.detail import Grain, match_detail
from mover_ray.forge.draws import Span, check_span, factor, uniform, until_changed
from mover_ray.forge.landmarks import smooth, to_unit, unit_maps
from mover_ray.forge.masks import HULLS, Edge, Region, Waves, hull_outline, place

#: What holds for a clip: strengths of each frame of their own (`image`), one set
#: (`video`), or one set while the landmarks tremble (`jitter`).
CONSISTENCIES = ("image", "video", "jitter")

_CENTRE = np.array([0.5, 0.5])


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfBlendedConfig:
    """Ranges of strengths. Lengths are shares of the face's side."""

    consistency: str = "video"
    """One of `CONSISTENCIES`."""
    shift_x: float = 0.03
    """The copy moves sideways by up to this. Source: the paper."""
    shift_y: float = 0.015
    """... and up or down by up to this. Source: the paper."""
    scale: float = 0.05
    """The copy is e^±scale times as large. Source: the paper's 0.95 to 1/0.95."""
    turn_deg: float = 1.5
    """The copy turns by up to this many degrees. Ours."""
    waves: float = 0.18
    """The hull's radius varies by up to this share. Ours, for the paper's elastic warp."""
    lift: Span = (0.08, 0.3)
    """How far above the brows a `forehead` hull reaches."""
    softness: Span = (0.01, 0.06)
    """Sigma of the mask's edge."""
    cut: Span = (0.03, 0.5)
    """How much of the soft edge is eroded."""
    opacities: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
    """Share of the copy in the mix, one drawn. Source: the paper."""
    sharpness: float = 0.5
    """Fine detail inside is e^±sharpness times the original's. Ours."""
    colour: ColourConfig = field(default_factory=ColourConfig)
    """How the copy's colours change."""
    smoothing_frames: float = 1.5
    """Landmarks are averaged over time with this sigma, except in `image`. Ours: they
    tremble by a pixel or two from frame to frame, and the mask must not."""
    jitter: float = 0.012
    """Standard deviation of the face's tremor in `jitter`."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a value out of its range."""
        check_choice(self, "consistency", CONSISTENCIES)
        for name in ("shift_x", "shift_y", "scale", "waves", "jitter"):
            check_range(self, name, 0, 0.5)
        check_range(self, "turn_deg", 0, 45)
        check_range(self, "sharpness", 0, 2)
        check_range(self, "smoothing_frames", 0, 100)
        check_span(self, "lift", 0, 0.5)
        check_span(self, "softness", 0, 0.2)
        check_span(self, "cut", 0.02, 0.9)
        if not self.opacities or not all(0 < share <= 1 for share in self.opacities):
            raise ConfigError(f"opacities must lie in (0, 1]: `{list(self.opacities)}`")


@dataclass(frozen=True, slots=True)
class _Strengths:
    """One set of draws."""

    hull: str
    lift: float
    waves: Waves
    edge: Edge
    opacity: float
    motion: Affine  # [2, 3], unit to unit coordinates
    colour: Matrix
    sharpness: float
    grain: Grain


@dataclass(frozen=True, slots=True)
class SelfBlended:
    """Mixes each frame with a changed copy of itself; takes no partner."""

    name: str
    config: SelfBlendedConfig
    needs_partner: bool = False

    def __call__(
        self,
        clip: Clip,
        partner: Clip | None,  # noqa: ARG002 # part of the protocol
        rng: np.random.Generator,
    ) -> Forgery:
        """Forges a clip; see `Manipulation`."""
        return until_changed(clip, lambda: self._attempt(clip, rng))

    def _attempt(self, clip: Clip, rng: np.random.Generator) -> Forgery:
        landmarks = self._followed(clip)
        maps, points = unit_maps(landmarks), to_unit(landmarks)
        tremor = np.zeros((len(clip), 2), dtype=np.float32)
        if self.config.consistency == "jitter":
            tremor += rng.normal(0, self.config.jitter, tremor.shape).astype(np.float32)
        canvas = Canvas(clip)
        for index, drawn in enumerate(self._strengths(len(clip), rng)):
            outline = drawn.waves.apply(hull_outline(points[index], drawn.hull, drawn.lift))
            face = _Face(clip.frames[index], maps[index], tremor[index])
            region, mask = place(outline + tremor[index], maps[index], drawn.edge, face.frame)
            target = region.cut(face.frame)
            picture = _blend(target, _copy(face, drawn, region), drawn.opacity)
            picture = match_detail(picture, target, mask, drawn.sharpness, drawn.grain)
            canvas.paint(index, region, picture, mask)
        return canvas.forgery()

    def _followed(self, clip: Clip) -> Floats:
        if self.config.consistency == "image":
            return clip.landmarks
        return smooth(clip.landmarks, self.config.smoothing_frames)

    def _strengths(self, frames: int, rng: np.random.Generator) -> list[_Strengths]:
        """Gives one set a frame, or the same for all."""
        if self.config.consistency == "image":
            return [_draw(rng, self.config) for _ in range(frames)]
        return [_draw(rng, self.config)] * frames


def build(settings: Mapping[str, Any]) -> SelfBlended:
    """Builds the manipulation with one set of strengths a clip.

    Raises:
        ConfigError: A setting is unknown or out of its range.
    """
    return _build("self_blended", "video", settings)


def build_image(settings: Mapping[str, Any]) -> SelfBlended:
    """Builds the manipulation with strengths drawn anew for each frame; see `build`."""
    return _build("self_blended_image", "image", settings)


def build_jitter(settings: Mapping[str, Any]) -> SelfBlended:
    """Builds the manipulation with one set of strengths and a trembling face; see `build`."""
    return _build("self_blended_jitter", "jitter", settings)


def _build(name: str, consistency: str, settings: Mapping[str, Any]) -> SelfBlended:
    config = from_mapping(SelfBlendedConfig, {"consistency": consistency, **settings})
    return SelfBlended(name, config)


@dataclass(frozen=True, slots=True)
class _Face:
    """Where the face of one frame is."""

    frame: Frames
    to_unit: Affine
    tremor: Floats  # [2], unit coordinates


def _draw(rng: np.random.Generator, config: SelfBlendedConfig) -> _Strengths:
    shift = rng.uniform(-1, 1, 2) * (config.shift_x, config.shift_y)
    turn = np.exp(1j * np.radians(rng.uniform(-config.turn_deg, config.turn_deg)))
    rotated = factor(rng, config.scale) * np.array(
        [[turn.real, -turn.imag], [turn.imag, turn.real]]
    )
    return _Strengths(
        hull=str(rng.choice(HULLS)),
        lift=uniform(rng, config.lift),
        waves=Waves.draw(rng, config.waves),
        edge=Edge(uniform(rng, config.softness), uniform(rng, config.cut)),
        opacity=float(rng.choice(config.opacities)),
        motion=np.column_stack([rotated, _CENTRE - rotated @ _CENTRE + shift]),
        colour=draw_colour(rng, config.colour),
        sharpness=factor(rng, config.sharpness),
        grain=Grain(rng),
    )


def _copy(face: _Face, drawn: _Strengths, region: Region) -> Floats:
    """Gives what the region would show if the face were moved and recoloured."""
    motion = drawn.motion.copy()
    motion[:, 2] += face.tremor
    to_unit_, moved = (np.vstack([affine, (0, 0, 1)]) for affine in (face.to_unit, motion))
    whole = (np.linalg.inv(to_unit_) @ moved @ to_unit_)[:2]
    whole[:, 2] -= region.origin
    picture = cv2.warpAffine(
        face.frame, whole, region.size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return recolour(picture, drawn.colour)


def _blend(target: Frames, picture: Floats, opacity: float) -> Floats:
    """Mixes the copy in by its share; two faces side by side are softer than either."""
    mixed = cv2.addWeighted(target, 1 - opacity, picture, opacity, 0, dtype=cv2.CV_32F)
    return np.asarray(mixed, dtype=np.float32)
