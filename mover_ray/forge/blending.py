"""Putting a picture into a frame so that nothing outside its mask changes."""

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.forge.base import Clip, Floats, Forgery, Frames
from mover_ray.forge.masks import Region

#: Ways of hiding the seam: by the soft mask alone, or with the border's colours
#: spread inwards as well.
SEAMS = ("feather", "poisson")

# The offset that Poisson blending adds is smooth: it is found on a grid of this size.
_MEMBRANE_PX = 64
# A larger step at the seam, in gray levels, is the end of the face, not another light.
_MOST_SHIFT = 30.0


class Canvas:
    """A copy of a clip that pictures are painted into."""

    def __init__(self, clip: Clip) -> None:
        """Copies the clip's frames; all masks are empty."""
        self.frames = clip.frames.copy()
        self.masks = np.zeros(clip.frames.shape[:3], dtype=np.float32)

    def paint(
        self, index: int, region: Region, picture: npt.NDArray[np.generic], mask: Floats
    ) -> None:
        """Mixes a picture into a region of a frame.

        Args:
            index: Number of the frame.
            region: Where.
            picture: [h, w, 3], uint8 or floating in [0, 255].
            mask: [h, w] in [0, 1]; where it is 0 the frame stays as it is.
        """
        part = region.cut(self.frames[index])
        part[:] = mix(part, picture, mask)
        kept = region.cut(self.masks[index])
        np.maximum(kept, mask, out=kept)

    def forgery(self) -> Forgery:
        """Gives what was painted."""
        return Forgery(self.frames, self.masks)


def mix(target: Frames, picture: npt.NDArray[np.generic], weights: Floats) -> Frames:
    """Gives target + weights * (picture - target), rounded; bit-equal where a weight is 0.

    Args:
        target: uint8 [h, w, 3].
        picture: [h, w, 3], uint8 or floating in [0, 255].
        weights: [h, w] in [0, 1].
    """
    difference = cv2.subtract(picture, target, dtype=cv2.CV_32F)
    cv2.multiply(difference, cv2.merge((weights, weights, weights)), dst=difference)
    return np.asarray(cv2.add(target, difference, dtype=cv2.CV_8U), dtype=np.uint8)


def hide_seam(target: Frames, picture: Floats, mask: Floats, seam: str) -> Floats:
    """Gives the picture as the seam asks for.

    Args:
        target: uint8 [h, w, 3] that the picture will be mixed into.
        picture: float32 [h, w, 3].
        mask: [h, w].
        seam: One of `SEAMS`. `poisson` shifts the picture's colours so that they meet the
            target's where the two are mixed. Beyond lies background, whose colours would
            bleed into the face.

    Source: `poisson` approximates Perez, Gangnet and Blake, "Poisson image editing" (2003),
    whose solution is the picture plus the harmonic extension of the difference on the border.
    Differs: the extension is interpolated over a pyramid, which is as smooth but not harmonic.
    """
    if seam == "feather":
        return picture
    small = _fit(mask.shape)
    difference = cv2.resize(target, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    difference -= cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(mask, small, interpolation=cv2.INTER_AREA)
    np.clip(difference, -_MOST_SHIFT, _MOST_SHIFT, out=difference)
    spread = _spread(difference, np.asarray(4 * soft * (1 - soft), dtype=np.float32))
    size = (mask.shape[1], mask.shape[0])
    return np.asarray(picture + cv2.resize(spread, size, interpolation=cv2.INTER_LINEAR))


def _fit(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1.0, _MEMBRANE_PX / max(shape))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _spread(values: Floats, weights: Floats) -> Floats:
    """Fills values [h, w, 3] where weights [h, w] are below 1 from those where they are not."""
    height, width = weights.shape
    if max(height, width) == 1:
        return values
    half = ((width + 1) // 2, (height + 1) // 2)
    weighted = cv2.resize(values * weights[..., None], half, interpolation=cv2.INTER_AREA)
    total = cv2.resize(weights, half, interpolation=cv2.INTER_AREA)
    weighted, total = weighted.reshape(half[1], half[0], 3), total.reshape(half[1], half[0])
    means = weighted / np.maximum(total, 1e-6)[..., None]
    # One known pixel of four makes the coarser pixel known.
    coarse = _spread(means, np.minimum(4 * total, 1))
    up = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    share = weights[..., None]
    return np.asarray(share * values + (1 - share) * up.reshape(values.shape), dtype=np.float32)
