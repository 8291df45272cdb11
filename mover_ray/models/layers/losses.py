"""Terms of the losses that more than one network is trained with.

Shapes:
    B: faces or segments   H, W: pixels of a mask   D: features
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

#: Added to both sides of Dice's fraction, in pixels: an empty mask found empty is perfect.
_DICE_SMOOTHING = 1.0


def label_loss(logits_B: Tensor, labels_B: Tensor) -> Tensor:
    """Gives the binary cross-entropy; labels of any type, 1 = manipulated."""
    return F.binary_cross_entropy_with_logits(logits_B.float(), labels_B.float())


def focal_loss(logits_B: Tensor, labels_B: Tensor, gamma: float) -> Tensor:
    """Gives the cross-entropy in which what is classified well already counts for less.

    Source: arXiv 1708.02002, equation 4.

    Args:
        logits_B: Logit of the class 1.
        labels_B: Of any type, 1 = manipulated.
        gamma: The loss of a sample is weighted by (1 - p) ** gamma; 0 is cross-entropy.
    """
    signs_B = 2 * labels_B.float() - 1
    true_B = logits_B.float() * signs_B
    weights_B = (gamma * F.logsigmoid(-true_B)).exp()
    return -(weights_B * F.logsigmoid(true_B)).mean()


def alignment_loss(features_BD: Tensor, labels_B: Tensor) -> Tensor:
    """Gives the mean squared distance of two samples of one class; 0 where there are none.

    Source: arXiv 2005.10242, equation 1, with every pair of a class as positive.

    Args:
        features_BD: Of length 1.
        labels_B: Class of each sample.
    """
    same_BB = (labels_B[:, None] == labels_B[None]).triu(1)
    squares_BB = 2 - 2 * features_BD @ features_BD.T
    return (squares_BB * same_BB).sum() / same_BB.sum().clamp(min=1)


def uniformity_loss(features_BD: Tensor) -> Tensor:
    """Gives the logarithm of the mean closeness exp(-2 d²) of two samples; 0 for a single one.

    Source: arXiv 2005.10242, equation 2, with t = 2.

    Args:
        features_BD: Of length 1.
    """
    count = len(features_BD)
    if count < 2:
        return features_BD.sum() * 0
    closeness_BB = -2 * (2 - 2 * features_BD @ features_BD.T)
    first, second = torch.triu_indices(count, count, 1, device=features_BD.device)
    pairs = closeness_BB[first, second]
    return pairs.logsumexp(dim=0) - math.log(len(pairs))


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
