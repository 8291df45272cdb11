"""From bytes to the values that networks see, and between images and patches.

Shapes:
    B: images   C: colours   H, W: pixels   N: patches   V: values of a patch
"""

import torch
from torch import Tensor

#: Mean and deviation of ImageNet in RGB: any public backbone expects them.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def normalize(faces_BCHW: Tensor) -> Tensor:
    """Takes uint8 RGB to float32 of about zero mean and unit deviation."""
    mean, std = _statistics(faces_BCHW.device)
    return (faces_BCHW.float() / 255.0 - mean) / std


def absolute_difference(first_BCHW: Tensor, second_BCHW: Tensor) -> Tensor:
    """Gives the mean over colours [B, H, W] of |first - second| of normalized images.

    The unit is the full range of a colour: black against white gives 1.
    """
    _, std = _statistics(first_BCHW.device)
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


def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    mean = torch.tensor(_MEAN, device=device).reshape(3, 1, 1)
    return mean, torch.tensor(_STD, device=device).reshape(3, 1, 1)
