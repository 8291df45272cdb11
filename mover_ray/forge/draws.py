"""Drawing strengths from documented ranges, and drawing again where nothing changed."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from mover_ray.errors import ConfigError
from mover_ray.forge.base import Clip, Floats, ForgeError, Forgery, Frames
from mover_ray.status import Status

#: Lowest and highest value of a uniform draw.
Span = tuple[float, ...]

#: A forgery whose typical frame differs from the original by less than this, in gray
#: levels and on average over its mask, is no forgery. A label `fake` on a copy teaches a
#: detector noise; x264 at crf 23 alone changes a face by one to two levels.
LEAST_CHANGE = 1.0
_TRIES = 6
# Samples along the shorter side of a frame that suffice to measure a mean.
_SAMPLES = 256


def check_span(config: Any, name: str, low: float, high: float) -> None:
    """Raises `ConfigError` unless field `name` is a rising pair inside [low, high]."""
    span = getattr(config, name)
    if len(span) != 2 or not low <= span[0] <= span[1] <= high:
        hint = f"two rising numbers from {low} to {high} are allowed"
        raise ConfigError(f"{name} is out of range: `{list(span)}`", hint=hint)


def uniform(rng: np.random.Generator, span: Span) -> float:
    """Draws a number of the range."""
    return float(rng.uniform(span[0], span[1]))


def factor(rng: np.random.Generator, spread: float) -> float:
    """Draws a factor that is as often above 1 as below: e to a uniform in ±`spread`."""
    return float(np.exp(rng.uniform(-spread, spread)))


def until_changed(
    clip: Clip, attempt: Callable[[], Forgery], least: float = LEAST_CHANGE
) -> Forgery:
    """Gives the first attempt that changes the clip.

    Args:
        clip: The original.
        attempt: Forges it with newly drawn strengths.
        least: What counts as a change; see `change`.

    Raises:
        ForgeError: None of six attempts did.
    """
    most = 0.0
    for _ in range(_TRIES):
        forgery = attempt()
        found = change(clip, forgery)
        if found >= least:
            return forgery
        most = max(most, found)
    raise ForgeError(
        Status.UNSUPPORTED,
        f"the forgery changes too little: {most:.2f} of 255 gray levels, {least:.2f} are asked",
    )


def change(clip: Clip, forgery: Forgery) -> float:
    """Gives the mean |forged - original| over the mask in gray levels, for the median frame."""
    step = max(1, min(clip.frames.shape[1:3]) // _SAMPLES)
    changes = [
        _frame_change(original[::step, ::step], forged[::step, ::step], mask[::step, ::step])
        for original, forged, mask in zip(clip.frames, forgery.frames, forgery.masks, strict=True)
    ]
    return float(np.median(changes))


def _frame_change(original: Frames, forged: Frames, mask: Floats) -> float:
    total = float(mask.sum())
    if total == 0:
        return 0.0
    difference = cv2.absdiff(original, forged).astype(np.float32).reshape(-1, 3)
    return float((mask.reshape(-1) @ difference).mean()) / total
