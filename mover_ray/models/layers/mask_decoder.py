"""Decodes maps of several sizes into a mask.

Shapes:
    B: faces   C: colours   D: width of the tokens   F: channels   G: patches of a side
    h, w: pixels of the finest map
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.models.layers.face_mapping import convolution

#: Channels that tokens are reduced to, and channels of the decoded maps.
_TOKEN_CHANNELS = 128
CHANNELS = 32


class MaskDecoder(nn.Module):
    """Goes from the coarsest map to the finest and takes each in by a convolution.

    Source: U-Net (arXiv 1505.04597), the expanding path; Delocate (arXiv 2401.13516) has
    an encoder-decoder and does not draw it.
    Differs: maps are resized bilinearly; one convolution a size.

    Args:
        channels: Of each map, the finest first.
        token_width: D; None: there are no tokens.
        difference: Whether a difference of faces is given.
        norm: A key of `resnet.NORMS`.
    """

    def __init__(
        self, channels: Sequence[int], token_width: int | None, norm: str, *, difference: bool
    ) -> None:
        super().__init__()
        coarse = 0
        self.project: nn.Module | None = None
        if token_width is not None:
            self.project = nn.Conv2d(token_width, _TOKEN_CHANNELS, kernel_size=1)
            coarse = _TOKEN_CHANNELS
        steps = []
        for fine in reversed(channels):
            steps.append(nn.Sequential(*convolution(coarse + fine, CHANNELS, norm)))
            coarse = CHANNELS
        self.steps = nn.ModuleList(steps)
        self.last = nn.Sequential(*convolution(coarse + 3 * difference, CHANNELS, norm))
        self.head = nn.Conv2d(CHANNELS, 1, kernel_size=1)

    def forward(
        self,
        maps: Sequence[Tensor],
        tokens_BDGG: Tensor | None,
        difference_BChw: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Gives the mask's logits [B, h, w] and the features [B, F, h, w] behind them.

        Args:
            maps: [B, F, ...] each, the finest first.
            tokens_BDGG: Tokens laid out over the face.
            difference_BChw: |face - mapped face|.
        """
        decoded = [] if self.project is None else [self.project(tokens_BDGG)]
        for step, fine in zip(self.steps, reversed(maps), strict=True):
            resized = [F.interpolate(one, fine.shape[2:], mode="bilinear") for one in decoded]
            decoded = [step(torch.cat([*resized, fine], dim=1))]
        if difference_BChw is not None:
            decoded.append(difference_BChw)
        features_BFhw: Tensor = self.last(torch.cat(decoded, dim=1))
        return self.head(features_BFhw).squeeze(1), features_BFhw
