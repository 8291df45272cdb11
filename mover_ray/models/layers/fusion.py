"""Means of probabilities, computed on logits so that certain scores stay finite."""

import torch
from torch import Tensor
from torch.nn import functional as F


def logit_of_mean(logits: Tensor, dim: int) -> Tensor:
    """Gives logit(mean(sigmoid(logits))) along `dim` in float32.

    A probability of 1 - 1e-9 is 1 in float32 and its logit infinite; sums of
    logarithms keep it apart from 1 - 1e-12.
    """
    logits = logits.float()
    fake = torch.logsumexp(F.logsigmoid(logits), dim)
    real = torch.logsumexp(F.logsigmoid(-logits), dim)
    return fake - real
