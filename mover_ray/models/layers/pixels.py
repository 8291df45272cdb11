"""From bytes to the values that networks see, and between images and patches.

Shapes:
    B: images   C: colours   H, W: pixels   N: patches   V: values of a patch
"""

import torch
from torch import Tensor

Colour = tuple[float, float, float]

#: Mean and deviation of ImageNet in RGB: most public backbones expect them.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def normalize(faces_BCHW: Tensor, mean: Colour = _MEAN, std: Colour = _STD) -> Tensor:
    """Takes uint8 RGB to float32 of about zero mean and unit deviation.

    Args:
        faces_BCHW: RGB, 0 to 255.
        mean: Of each colour, in [0, 1], as the network's first training had it.
        std: Deviation of each colour.
    """
    centre, scale = (_colour(values, faces_BCHW.device) for values in (mean, std))
    return (faces_BCHW.float() / 255.0 - centre) / scale


def absolute_difference(first_BCHW: Tensor, second_BCHW: Tensor) -> Tensor:
    """Gives the mean over colours [B, H, W] of |first - second| of normalized images.

    The unit is the full range of a colour: black against white gives 1.
    """
    std = _colour(_STD, first_BCHW.device)
    return ((first_BCHW - second_BCHW) * std).abs().mean(dim=1)


def patchify(images_BCHW: Tensor, patch_px: int) -> Tensor:
    """Cuts images into patches [B, N, V], in raster order, V = (row, column, colour)."""
    batch, colours, height, width = images_BCHW.shape
    rows, columns = height // patch_px, width // patch_px
    cut = images_BCHW.reshape(batch, colours, rows, patch_px, columns, patch_px)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, -1)


def unpatchify(patches_BNV: Tensor, patch_px: int) -> Tensor:
    """Joins the patches of square images; undoes `patchify`."""
    batch, num_patches, _ = patches_BNV.shape
    grid = round(num_patches**0.5)
    cut = patches_BNV.reshape(batch, grid, grid, patch_px, patch_px, 3)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(batch, 3, grid * patch_px, grid * patch_px)


def _colour(values: Colour, device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).reshape(3, 1, 1)
