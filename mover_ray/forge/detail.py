"""How sharp the inside of a forgery is, compared with what was there before.

Warping, averaging and reconstruction blur. A detector that is trained on blurred fakes
learns blur: it calls soft real video fake and sharp fakes real. So every manipulation
ends here: the fine detail of its picture is brought to that of the original inside the
same mask, times a factor that is drawn above 1 as often as below.
"""

import math
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.forge.base import Floats, Frames

# Bands end at Gaussians of these sigmas in pixels: texture and noise; eyelashes,
# pores, and what a face of 64 pixels lacks.
_SIGMAS_PX = (1.2, 3.0)
# Green stands for all three channels where amounts are compared.
_CHANNEL = 1
# More amplification shows the pattern of enlargement and of JPEG blocks.
_MOST_GAIN = 2.0
# Below this, in gray levels, there is no detail to be amplified.
_LEAST_DETAIL = 0.05
# How much of the missing texture becomes grain; the rest comes of the amplification that
# follows. Measured by benchmarks/forge.py: all of it made two fakes of three the grainier.
_GRAIN_SHARE = 0.5
# Side of the pattern; a larger region sees it mirrored.
_GRAIN_PX = 256
# Samples along the shorter side of a region that suffice for a median.
_SAMPLES = 64
# Halving a picture and enlarging it again blurs by itself, too much for a narrow Gaussian.
_WIDE_PX = 2.0
_REACH_SIGMAS = 2.5
# Median absolute value of a normal variable of standard deviation 1.
_NORMAL_MEDIAN = 0.6745


class Grain:
    """One pattern of noise for a whole clip: fresh noise in each frame would flicker."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draws the pattern's seed; the pattern itself is made when it is first needed."""
        self._seed = int(rng.integers(2**63))

    def cut(self, shape: tuple[int, ...], amount: float) -> Floats:
        """Gives gray noise [h, w] of a median absolute value, in the finest band."""
        missing = [(0, max(side - _GRAIN_PX, 0)) for side in shape]
        whole = np.pad(self._pattern, missing, mode="symmetric")
        return np.asarray(whole[: shape[0], : shape[1]] * np.float32(amount), dtype=np.float32)

    @cached_property
    def _pattern(self) -> Floats:
        """Noise [_GRAIN_PX, _GRAIN_PX] of the median absolute value 1."""
        shape = (_GRAIN_PX, _GRAIN_PX)
        noise = np.random.default_rng(self._seed).standard_normal(shape, dtype=np.float32)
        # Not white: a camera's lens and codec leave little at the finest scale.
        noise = _blur(noise, _SIGMAS_PX[0] / 2) - _blur(noise, _SIGMAS_PX[0])
        return np.asarray(noise / (_NORMAL_MEDIAN * noise.std()), dtype=np.float32)


def match_detail(
    picture: npt.NDArray[np.generic],
    original: Frames,
    mask: Floats,
    ratio: float,
    grain: Grain,
) -> Floats:
    """Gives the picture with `ratio` times the original's fine detail.

    Where the finest band falls short in its median, which is texture of skin and the
    camera's noise, grain is added. Then each band is amplified or damped so that its mean,
    which edges decide, fits.

    Args:
        picture: RGB [h, w, 3] in [0, 255].
        original: uint8 RGB [h, w, 3], what the picture will cover.
        mask: [h, w]; amounts are compared under it.
        ratio: Wanted ratio of the absolute details.
        grain: The clip's own.

    Returns:
        float32 [h, w, 3]; may leave [0, 255] a little.
    """
    result = picture.astype(np.float32)
    fine, coarse = _bands(result)
    wanted = [ratio * _amounts(band, mask) for band in _bands(_channel(original))]
    present = _amounts(fine[..., _CHANNEL], mask)
    missing = math.sqrt(max(wanted[0][1] ** 2 - present[1] ** 2, 0.0))
    if missing > _LEAST_DETAIL:
        noise = grain.cut(mask.shape, _GRAIN_SHARE * missing)[..., None]
        result, fine = result + noise, fine + noise
    for band, amounts in zip((fine, coarse), wanted, strict=True):
        mean = _amounts(band[..., _CHANNEL], mask)[0]
        if mean > _LEAST_DETAIL:
            result = result + np.float32(min(amounts[0] / mean, _MOST_GAIN) - 1) * band
    return result


def _channel(picture: Frames) -> Floats:
    return np.asarray(picture[..., _CHANNEL], dtype=np.float32)


def _bands(picture: Floats) -> tuple[Floats, Floats]:
    """Gives the bands of a picture [h, w, ...], the finest first."""
    middle, coarse = (_blur(picture, sigma) for sigma in _SIGMAS_PX)
    return picture - middle, middle - coarse


def _amounts(band: Floats, mask: Floats) -> Floats:
    """Gives mean and median [2] of the absolute values of a band [h, w] inside the mask."""
    step = max(1, min(mask.shape) // _SAMPLES)
    inside = np.abs(band[::step, ::step])[mask[::step, ::step] > 0.5]
    if not inside.size:
        return np.zeros(2, dtype=np.float32)
    return np.array([inside.mean(), np.median(inside)], dtype=np.float32)


def _blur(picture: Floats, sigma_px: float) -> Floats:
    """Gives a picture [h, w, ...] under a Gaussian; a wide one is found at half the size."""
    height, width = picture.shape[:2]
    if sigma_px > _WIDE_PX and min(height, width) > 1:
        half = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(_blur(half, sigma_px / 2), (width, height)))
    side = 2 * round(_REACH_SIGMAS * sigma_px) + 1
    blurred = cv2.GaussianBlur(picture, (side, side), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, dtype=np.float32)
