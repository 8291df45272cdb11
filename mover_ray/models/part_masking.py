"""Which patches of a facial part are hidden.

Shapes:
    B: images   P: facial parts   F: folds   N: patches in raster order
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor


def complementary_folds(part_masks_BPN: Tensor, mask_ratio: float) -> Tensor:
    """Splits every part into disjoint folds that together cover it.

    At the ratio 0.5 these are two halves. The split is spread over the part as a
    random draw would be, because that is what the autoencoder was trained on, and is
    the same on every call.

    Args:
        part_masks_BPN: bool, True = the patch belongs to the part.
        mask_ratio: Largest share of a part in one fold, up to one patch; in (0, 1].

    Returns:
        bool [B, P, F, N], True = hidden in this fold; F = ceil(1 / mask_ratio).
    """
    num_folds = math.ceil(1 / mask_ratio)
    order_N, inverse_N = _fixed_order(part_masks_BPN.shape[-1])
    shuffled_BPN = part_masks_BPN[..., order_N.to(part_masks_BPN.device)]
    rank_BPN = shuffled_BPN.cumsum(-1) - 1
    fold_BPN = (rank_BPN % num_folds)[..., inverse_N.to(part_masks_BPN.device)]
    folds = torch.arange(num_folds, device=part_masks_BPN.device)
    return part_masks_BPN[:, :, None] & (fold_BPN[:, :, None] == folds[:, None])


@functools.cache
def _fixed_order(num_patches: int) -> tuple[Tensor, Tensor]:
    """Gives one permutation for all time and its inverse; NumPy has frozen this generator."""
    order = np.random.RandomState(0).permutation(num_patches)
    return torch.from_numpy(order), torch.from_numpy(np.argsort(order))
