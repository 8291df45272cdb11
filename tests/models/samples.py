"""Made-up faces with landmarks, the same on every machine."""

import numpy as np
import torch
from torch import Tensor

#: A face in the unit square, drawn by hand: iBUG's 68 points as (x, y).
_JAW = [(0.5 - 0.4 * np.cos(a), 0.4 + 0.5 * np.sin(a)) for a in np.linspace(0, np.pi, 17)]
_BROWS = [(x, 0.3) for x in (0.2, 0.26, 0.32, 0.38, 0.44, 0.56, 0.62, 0.68, 0.74, 0.8)]
_NOSE = [(0.5, y) for y in (0.38, 0.44, 0.5, 0.56)] + [
    (x, 0.62) for x in (0.42, 0.46, 0.5, 0.54, 0.58)
]
_EYE = [(-0.07, 0.0), (-0.03, -0.03), (0.03, -0.03), (0.07, 0.0), (0.03, 0.03), (-0.03, 0.03)]
_EYES = [(centre + x, 0.38 + y) for centre in (0.32, 0.68) for x, y in _EYE]
_LIP = [(0.15, 0.06, 12), (0.1, 0.02, 8)]
_MOUTH = [
    (0.5 - width * np.cos(a), 0.75 - height * np.sin(a))
    for width, height, count in _LIP
    for a in np.linspace(0, 2 * np.pi, count, endpoint=False)
]
_POINTS = np.array([*_JAW, *_BROWS, *_NOSE, *_EYES, *_MOUTH], dtype=np.float32)


def landmarks(size_px: int, *leading: int) -> Tensor:
    """Gives landmarks [..., 68, 2] that fill a crop, each face a little to the right."""
    count = int(np.prod(leading))
    shift = torch.linspace(0, 0.04, count)[:, None, None] * torch.tensor([1.0, 0.0])
    points = (torch.from_numpy(_POINTS) + shift) * size_px
    return points.reshape(*leading, 68, 2)


def faces(size_px: int, *leading: int) -> Tensor:
    """Gives uint8 pictures [..., 3, H, W] of waves, no two alike."""
    count = int(np.prod(leading))
    face, colour, row, column = np.ogrid[:count, :3, :size_px, :size_px]
    unit = 2 * np.pi / size_px
    waves = np.sin(unit * (row * (1 + colour) + 3 * column) + face) + np.cos(unit * row * column)
    pictures = np.round(127.5 + 63 * waves).astype(np.uint8)
    return torch.from_numpy(pictures).reshape(*leading, 3, size_px, size_px)
