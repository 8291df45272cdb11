"""Terms of the losses that more than one network is trained with.

Shapes:
    B: faces or segments   H, W: pixels of a mask
"""

import torch
from torch import Tensor
from torch.nn import functional as F

#: Added to both sides of Dice's fraction, in pixels: an empty mask found empty is perfect.
_DICE_SMOOTHING = 1.0


def label_loss(logits_B: Tensor, labels_B: Tensor) -> Tensor:
    """Gives the binary cross-entropy; labels of any type, 1 = manipulated."""
    return F.binary_cross_entropy_with_logits(logits_B.float(), labels_B.float())


def mask_losses(
    logits_BHW: Tensor, labels_B: Tensor, masks_BHW: Tensor | None, has_mask_B: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Gives binary cross-entropy and Dice loss over the faces whose mask is known.

    The mask of a real face is known to be empty, whatever `masks_BHW` holds; a fake
    without a true mask counts in neither term. Both are 0 where no mask is known.

    Args:
        logits_BHW: Predicted masks.
        labels_B: 1 = manipulated.
        masks_BHW: In [0, 1]. None: no fake has a mask.
        has_mask_B: bool, True = the mask is the truth. None: all are.
    """
    logits_BHW, real_B = logits_BHW.float(), labels_B == 0
    known_B = real_B
    truth_BHW = torch.zeros_like(logits_BHW)
    if masks_BHW is not None:
        known_B = torch.ones_like(real_B) if has_mask_B is None else real_B | has_mask_B
        usable_B11 = (known_B & ~real_B)[:, None, None]
        truth_BHW = torch.where(usable_B11, masks_BHW.to(logits_BHW.dtype), truth_BHW)
    cross_entropy_B = F.binary_cross_entropy_with_logits(
        logits_BHW, truth_BHW, reduction="none"
    ).mean(dim=(1, 2))
    found_BHW = logits_BHW.sigmoid()
    overlap_B = 2 * (found_BHW * truth_BHW).sum(dim=(1, 2)) + _DICE_SMOOTHING
    total_B = (found_BHW + truth_BHW).sum(dim=(1, 2)) + _DICE_SMOOTHING
    count = known_B.sum().clamp(min=1)
    return (
        (cross_entropy_B * known_B).sum() / count,
        ((1 - overlap_B / total_B) * known_B).sum() / count,
    )
