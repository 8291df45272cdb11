"""What happens to videos on their way through the world, at five levels each.

For tests of robustness: a detector's scores are compared over the levels of one kind.
Level 0 is the yardstick: encoded once more like the others, and otherwise unchanged.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.config import suggest
from mover_ray.errors import ConfigError
from mover_ray.video.encode import EncoderConfig, encode_video

Image = npt.NDArray[np.uint8]

_Change = Callable[[Image, float, np.random.Generator], Image]
_CRF: Final = "compression"


@dataclass(frozen=True, slots=True)
class Degradation:
    """One kind of damage."""

    values: tuple[float, float, float, float, float]
    """Strengths of levels 1 to 5, each worse than the one before."""
    unit: str
    """What a strength means."""
    change: _Change | None
    """Changes one frame; None where the encoder does the damage."""


def _downscale(image: Image, factor: float, _rng: np.random.Generator) -> Image:
    """Averages down and interpolates back to the old size."""
    height, width = image.shape[:2]
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _blur(image: Image, sigma_px: float, _rng: np.random.Generator) -> Image:
    blurred = cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.uint8)


def _noise(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    noisy = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(noisy), 0, 255), np.uint8)


def _colour(image: Image, saturation: float, _rng: np.random.Generator) -> Image:
    """Mixes each pixel with its gray (BT.601)."""
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(image, saturation, gray, 1 - saturation, 0), np.uint8)


#: The kinds by name.
DEGRADATIONS: Final[dict[str, Degradation]] = {
    _CRF: Degradation((28, 32, 36, 40, 44), "constant rate factor of x264", None),
    "downscale": Degradation((0.75, 0.6, 0.45, 0.35, 0.25), "sides, as a share", _downscale),
    "blur": Degradation((0.8, 1.4, 2.0, 3.0, 4.5), "sigma of a Gaussian in pixels", _blur),
    "noise": Degradation((3, 6, 10, 16, 25), "standard deviation in gray levels", _noise),
    "colour": Degradation((0.8, 0.6, 0.4, 0.2, 0.0), "saturation, as a share", _colour),
}
LEVELS: Final = (0, 1, 2, 3, 4, 5)


def degrade(frames: Iterable[Image], kind: str, level: int, seed: int = 0) -> Iterator[Image]:
    """Gives the frames as they are after the damage, before any encoder.

    Args:
        frames: uint8 RGB [H, W, 3], consumed as a stream.
        kind: A key of `DEGRADATIONS`; `compression` leaves frames as they are.
        level: 0 to 5; 0 leaves frames as they are.
        seed: Of the noise: the same seed, the same frames.

    Raises:
        ConfigError: There is no such kind or level.
    """
    degradation = _find(kind, level)
    rng = np.random.default_rng([seed, level])
    change = degradation.change
    if change is None or level == 0:
        return iter(frames)
    return (change(image, degradation.values[level - 1], rng) for image in frames)


def degrade_video(
    frames: Iterable[Image],
    fps: Fraction,
    kind: str,
    level: int,
    *,
    seed: int = 0,
    encoder: EncoderConfig | None = None,
) -> bytes:
    """Gives an MP4 file with the damaged frames.

    Args:
        frames: As for `degrade`, with even sides.
        fps: Frames a second.
        kind: As for `degrade`.
        level: As for `degrade`.
        seed: As for `degrade`.
        encoder: Of all kinds and levels; `compression` takes another crf.

    Raises:
        ConfigError: There is no such kind or level.
    """
    damaged = degrade(frames, kind, level, seed)
    config = encoder or EncoderConfig()
    if kind == _CRF and level:
        config = replace(config, crf=int(DEGRADATIONS[kind].values[level - 1]))
    return encode_video(damaged, fps, config)


def _find(kind: str, level: int) -> Degradation:
    if kind not in DEGRADATIONS:
        raise ConfigError(f"unknown degradation: `{kind}`", hint=suggest(kind, DEGRADATIONS))
    if level not in LEVELS:
        raise ConfigError(f"unknown level: `{level}`", hint="0 to 5 are known")
    return DEGRADATIONS[kind]
