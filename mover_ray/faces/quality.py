"""How much of a face a detector can see."""

import cv2
import numpy as np

from mover_ray.faces.base import Image
from mover_ray.faces.warping import Affine, scale_of

# Variance of the Laplacian at which sharpness counts half. Ours: the median over crops
# of 30 FF++ videos at c40, the blurriest that are commonly scored.
_HALF_SHARP = 21.0


def quality(crop: Image, affine: Affine) -> float:
    """Gives the product of a crop's resolution and its sharpness.

    Resolution is the share of the crop's lines that the frame really had (1 where the face
    was shrunk). Sharpness is v / (v + 21) for the variance v of the Laplacian of
    the middle of the crop. Blur, strong compression and small faces lower it; no score
    depends on it.

    Args:
        crop: uint8 RGB [S, S, 3].
        affine: [2, 3] that made it.

    Returns:
        A number in [0, 1].
    """
    resolution = min(1.0, 1.0 / scale_of(affine))
    border = crop.shape[0] // 4
    middle = crop[border:-border, border:-border]
    variance = float(cv2.Laplacian(cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())
    return float(np.clip(resolution * variance / (variance + _HALF_SHARP), 0.0, 1.0))
