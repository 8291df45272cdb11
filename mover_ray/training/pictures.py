"""Contact sheets of what a model does with faces."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from mover_ray.errors import LocationError
from mover_ray.models.layers.pixels import normalize
from mover_ray.training.corpus import Pixels

_GAP_PX = 4
_WHITE = 255


def write_sheet(path: Path, columns: Sequence[Tensor]) -> None:
    """Writes images side by side, a row each, as PNG.

    Args:
        path: The file.
        columns: Each [B, 3, H, W] or [B, H, W] in [0, 1], all of one size.

    Raises:
        LocationError: The file cannot be written.
    """
    images = [_to_pixels(column) for column in columns]
    rows = [np.concatenate(_spaced(row, axis=1), axis=1) for row in zip(*images, strict=True)]
    sheet = np.concatenate(_spaced(rows, axis=0), axis=0)
    _, png = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    try:
        path.write_bytes(png.tobytes())
    except OSError as error:
        raise LocationError(f"a picture cannot be written: `{path}`: {error}") from error


def to_unit(images_BCHW: Tensor) -> Tensor:
    """Gives normalized images in [0, 1]: undoes `normalize`, and cuts what leaves its range."""
    extremes = torch.tensor([0.0, 255.0], device=images_BCHW.device).reshape(2, 1, 1, 1)
    black, white = normalize(extremes.expand(2, 3, 1, 1))
    unit_BCHW: Tensor = (images_BCHW - black) / (white - black)
    return unit_BCHW.clamp(0, 1)


def _to_pixels(images: Tensor) -> Pixels:
    """Gives uint8 RGB [B, H, W, 3]."""
    colour = images.unsqueeze(1).expand(-1, 3, -1, -1) if images.ndim == 3 else images
    bytes_BHWC = (colour.float() * 255).round().byte().permute(0, 2, 3, 1)
    pixels: Pixels = bytes_BHWC.cpu().numpy()
    return pixels


def _spaced(parts: Sequence[Pixels], axis: int) -> list[Pixels]:
    """Puts a white gap between neighbours."""
    shape = list(parts[0].shape)
    shape[axis] = _GAP_PX
    gap = np.full(shape, _WHITE, np.uint8)
    return [piece for part in parts for piece in (gap, part)][1:]
