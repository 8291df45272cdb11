"""NeuralTextures-like: mouth and chin rendered anew, softly and not quite as they were."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from mover_ray.config import check_range, from_mapping
from mover_ray.faces.warping import Affine, scale_of, transform
from mover_ray.forge.base import Clip, Floats, Forgery, Frames
from mover_ray.forge.blending import Canvas
from mover_ray.forge.colour import ColourConfig, Matrix, draw_colour, recolour
from mover_ray.forge.detail import Grain, match_detail
from mover_ray.forge.draws import Span, check_span, factor, uniform, until_changed
from mover_ray.forge.landmarks import smooth, to_unit, unit_maps
from mover_ray.forge.masks import Edge, Region, ellipse_outline, place
from mover_ray.forge.warping import read

_MOUTH, _CHIN = slice(48, 68), 8


@dataclass(frozen=True, kw_only=True, slots=True)
class SlightColourConfig(ColourConfig):
    """Less than other families: a mouth of another colour is seen at once."""

    gain: float = 0.03
    """Each channel is multiplied by up to e^±gain."""
    brightness: float = 5.0
    """Gray levels added, up to ±."""
    contrast: float = 0.08
    """Contrast around mid-gray is multiplied by up to e^±contrast."""
    saturation: float = 0.12
    """Distance from gray is multiplied by up to e^±saturation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NeuralTexturesConfig:
    """Ranges of strengths, one draw a clip. Lengths are shares of the face's side."""

    width: Span = (0.26, 0.4)
    """Half the width of the ellipse."""
    height: Span = (0.2, 0.3)
    """Half its height."""
    softness: Span = (0.02, 0.05)
    """Sigma of the mask's edge."""
    cut: Span = (0.05, 0.4)
    """How much of the soft edge is eroded."""
    blur: Span = (0.0, 0.007)
    """Sigma of the low-pass that the renderer is; more could not be made up for, and
    softness alone would tell the fakes (`forge.detail`)."""
    warp: Span = (0.006, 0.025)
    """How far the mouth is moved at most."""
    period_frames: Span = (12.0, 60.0)
    """The movement swings once in so many frames."""
    sharpness: float = 0.5
    """Fine detail inside is e^±sharpness times the original's."""
    colour: SlightColourConfig = field(default_factory=SlightColourConfig)
    """How the colours inside change."""
    smoothing_frames: float = 1.5
    """Landmarks are averaged over time with this sigma."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a value out of its range."""
        for name in ("width", "height", "softness", "blur", "warp"):
            check_span(self, name, 0, 0.5)
        check_span(self, "cut", 0.02, 0.9)
        check_span(self, "period_frames", 2, 1000)
        check_range(self, "sharpness", 0, 2)
        check_range(self, "smoothing_frames", 0, 100)


@dataclass(frozen=True, slots=True)
class _Strengths:
    """One set of draws."""

    axes: Floats  # [2], half width and half height
    edge: Edge
    blur: float
    warp: Floats  # [2], along x and y
    period_frames: float
    phases: Floats  # [2]
    colour: Matrix
    sharpness: float
    grain: Grain

    def push(self, index: int) -> Floats:
        """Gives how far [2] the mouth is moved in a frame, in unit coordinates."""
        turn = 2 * np.pi * index / self.period_frames
        return np.asarray(self.warp * (0.6 + 0.4 * np.sin(turn + self.phases)), np.float32)


@dataclass(frozen=True, slots=True)
class NeuralTextures:
    """Renders the mouth region anew; takes no partner."""

    config: NeuralTexturesConfig
    name: str = "neuraltextures"
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
        drawn = _draw(rng, self.config)
        landmarks = smooth(clip.landmarks, self.config.smoothing_frames)
        maps, points = unit_maps(landmarks), to_unit(landmarks)
        canvas = Canvas(clip)
        for index, frame in enumerate(clip.frames):
            mouth = points[index, _MOUTH].mean(axis=0)
            centre = mouth + (points[index, _CHIN] - mouth) / 4
            outline = ellipse_outline(centre, drawn.axes)
            region, mask = place(outline, maps[index], drawn.edge, frame)
            moved = _move(frame, region, maps[index], centre, drawn.axes, drawn.push(index))
            rendered = recolour(_blur(moved, drawn.blur / scale_of(maps[index])), drawn.colour)
            picture = match_detail(rendered, region.cut(frame), mask, drawn.sharpness, drawn.grain)
            canvas.paint(index, region, picture, mask)
        return canvas.forgery()


def build(settings: Mapping[str, Any]) -> NeuralTextures:
    """Builds the manipulation.

    Raises:
        ConfigError: A setting is unknown or out of its range.
    """
    return NeuralTextures(from_mapping(NeuralTexturesConfig, settings))


def _draw(rng: np.random.Generator, config: NeuralTexturesConfig) -> _Strengths:
    sides = rng.choice([-1, 1], 2)
    return _Strengths(
        axes=np.array([uniform(rng, config.width), uniform(rng, config.height)], np.float32),
        edge=Edge(uniform(rng, config.softness), uniform(rng, config.cut)),
        blur=uniform(rng, config.blur),
        warp=np.array([side * uniform(rng, config.warp) for side in sides], np.float32),
        period_frames=uniform(rng, config.period_frames),
        phases=rng.uniform(0, 2 * np.pi, 2).astype(np.float32),
        colour=draw_colour(rng, config.colour),
        sharpness=factor(rng, config.sharpness),
        grain=Grain(rng),
    )


def _move(
    frame: Frames, region: Region, to_unit_: Affine, centre: Floats, axes: Floats, push: Floats
) -> Frames:
    """Gives the region with what lies at the centre pushed away, less towards the edge."""
    width, height = region.size
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    places = np.stack([x, y], axis=-1) + region.origin
    offset = (transform(to_unit_, places) - centre) / axes
    weight = np.exp(-2 * (offset**2).sum(axis=-1, keepdims=True))
    linear = np.linalg.inv(np.asarray(to_unit_, dtype=np.float64)[:, :2])
    push_px = (linear @ push).astype(np.float32)
    return read(frame, places - weight * push_px)


def _blur(picture: Frames, sigma_px: float) -> Frames:
    if sigma_px == 0:
        return picture
    blurred = cv2.GaussianBlur(picture, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, dtype=np.uint8)
