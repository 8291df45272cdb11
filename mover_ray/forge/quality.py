"""Changes of quality that say nothing of forgery, for crops on their way into training.

An archive's videos were scaled, filtered and compressed many times. A detector must not
take that for forgery, nor learn that fakes are the ones with a certain quality. So what
is drawn here does not depend on the picture, and real and fake of a pair get the same.

    S: side of a crop
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from mover_ray.config import check_range
from mover_ray.forge.base import Floats, Frames
from mover_ray.forge.blending import mix
from mover_ray.forge.colour import ColourConfig, draw_colour
from mover_ray.forge.draws import Span, check_span, uniform
from mover_ray.forge.landmarks import MIRRORED

Step = Callable[[Frames], Frames]

# JPEG works on blocks of 8 pixels, which a crop cut from a video does not start with.
_BLOCK_PX = 8
# Cells along each side of the field that decides where `uneven` blurs.
_FIELD_CELLS = 4
_UP = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)
_DOWN = (cv2.INTER_AREA, cv2.INTER_LINEAR)


@dataclass(frozen=True, kw_only=True, slots=True)
class WideColourConfig(ColourConfig):
    """As far as cameras, lights and filters differ."""

    gain: float = 0.1
    """Each channel is multiplied by up to e^±gain."""
    brightness: float = 20.0
    """Gray levels added, up to ±."""
    contrast: float = 0.25
    """Contrast around mid-gray is multiplied by up to e^±contrast."""
    saturation: float = 0.5
    """Distance from gray is multiplied by up to e^±saturation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityConfig:
    """How often and how hard; each change is drawn by itself, in this order."""

    flip: float = 0.5
    """Probability of a mirrored crop."""
    recolour: float = 0.5
    """Probability of another colour ..."""
    colour: WideColourConfig = field(default_factory=WideColourConfig)
    """... and how far it moves."""
    uneven: float = 0.3
    """Probability that parts of the crop, drawn without regard to the face, are blurred.
    Else a border between sharp and soft would occur in fakes alone ..."""
    uneven_px: Span = (0.6, 2.0)
    """... and the sigma there."""
    blur: float = 0.3
    """Probability of blur all over ..."""
    blur_px: Span = (0.3, 1.8)
    """... and its sigma."""
    rescale: float = 0.4
    """Probability of shrinking and enlarging again ..."""
    scale: Span = (0.3, 0.9)
    """... and the size in between as a share of the crop's."""
    noise: float = 0.3
    """Probability of noise ..."""
    noise_levels: Span = (1.0, 8.0)
    """... and its standard deviation in gray levels."""
    jpeg: float = 0.8
    """Probability of compression ..."""
    jpeg_quality: Span = (30.0, 95.0)
    """... and its quality."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a value out of its range."""
        for name in ("flip", "recolour", "uneven", "blur", "rescale", "noise", "jpeg"):
            check_range(self, name, 0, 1)
        check_span(self, "uneven_px", 0.1, 20)
        check_span(self, "blur_px", 0.1, 20)
        check_span(self, "scale", 0.05, 1)
        check_span(self, "noise_levels", 0, 100)
        check_span(self, "jpeg_quality", 1, 100)


@dataclass(frozen=True, slots=True)
class Quality:
    """One draw, to be applied to every crop that must look alike."""

    flipped: bool
    """Whether crops are mirrored."""
    steps: list[Step]
    """What happens to the pixels, in order."""

    @classmethod
    def draw(cls, config: QualityConfig, rng: np.random.Generator) -> "Quality":
        """Draws what happens; the same generator state gives the same."""
        makers = [
            (config.recolour, _recolour),
            (config.uneven, _uneven),
            (config.blur, _blur),
            (config.rescale, _rescale),
            (config.noise, _noise),
            (config.jpeg, _jpeg),
        ]
        flipped = bool(rng.random() < config.flip)
        chosen = [make for probability, make in makers if rng.random() < probability]
        return cls(flipped, [make(config, rng) for make in chosen])

    def pixels(self, crop: Frames) -> Frames:
        """Gives the changed crop, uint8 RGB [S, S, 3]."""
        changed: Frames = cv2.flip(crop, 1) if self.flipped else crop
        for step in self.steps:
            changed = step(changed)
        return changed

    def mask(self, mask: Floats) -> Floats:
        """Gives the mask [S, S] of the changed crop."""
        changed: Floats = cv2.flip(mask, 1) if self.flipped else mask
        return changed

    def landmarks(self, landmarks: Floats, size_px: int) -> Floats:
        """Gives the landmarks [68, 2] of the changed crop of side `size_px`."""
        if not self.flipped:
            return landmarks
        mirrored: Floats = landmarks[MIRRORED].copy()
        mirrored[:, 0] = size_px - 1 - mirrored[:, 0]
        return mirrored


def _recolour(config: QualityConfig, rng: np.random.Generator) -> Step:
    matrix = draw_colour(rng, config.colour)
    return lambda crop: np.asarray(cv2.transform(crop, matrix), dtype=np.uint8)


def _uneven(config: QualityConfig, rng: np.random.Generator) -> Step:
    cells = rng.random((_FIELD_CELLS, _FIELD_CELLS), dtype=np.float32)
    sigma = uniform(rng, config.uneven_px)

    def step(crop: Frames) -> Frames:
        field_ = cv2.resize(cells, (crop.shape[1], crop.shape[0]), interpolation=cv2.INTER_CUBIC)
        weights = np.clip(4 * field_ - 1.5, 0, 1)
        return mix(crop, cv2.GaussianBlur(crop, (0, 0), sigma), weights)

    return step


def _blur(config: QualityConfig, rng: np.random.Generator) -> Step:
    sigma = uniform(rng, config.blur_px)
    return lambda crop: np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), dtype=np.uint8)


def _rescale(config: QualityConfig, rng: np.random.Generator) -> Step:
    scale = uniform(rng, config.scale)
    down, up = (int(rng.choice(ways)) for ways in (_DOWN, _UP))

    def step(crop: Frames) -> Frames:
        height, width = crop.shape[:2]
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        shrunk = cv2.resize(crop, small, interpolation=down)
        return np.asarray(cv2.resize(shrunk, (width, height), interpolation=up), dtype=np.uint8)

    return step


def _noise(config: QualityConfig, rng: np.random.Generator) -> Step:
    """Gray noise: codecs leave little of a camera's noise in the colours."""
    level, seed = uniform(rng, config.noise_levels), int(rng.integers(2**63))

    def step(crop: Frames) -> Frames:
        noise = np.random.default_rng(seed).standard_normal(crop.shape[:2], dtype=np.float32)
        noise *= np.float32(level)
        noisy = cv2.add(crop, cv2.merge((noise, noise, noise)), dtype=cv2.CV_8U)
        return np.asarray(noisy, dtype=np.uint8)

    return step


def _jpeg(config: QualityConfig, rng: np.random.Generator) -> Step:
    quality = round(uniform(rng, config.jpeg_quality))
    left, top = rng.integers(_BLOCK_PX, size=2).tolist()

    def step(crop: Frames) -> Frames:
        padded = cv2.copyMakeBorder(crop, top, 0, left, 0, cv2.BORDER_REFLECT_101)
        bgr = cv2.cvtColor(padded, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
        rgb: Frames = cv2.cvtColor(decoded[top:, left:], cv2.COLOR_BGR2RGB)
        return rgb

    return step
