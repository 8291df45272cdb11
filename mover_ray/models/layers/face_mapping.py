"""Maps a face onto what the autoencoder restored of it.

Shapes:
    B: faces   C: colours   H, W: pixels of the face   h, w: a quarter of them
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.models.layers.resnet import NORMS, ResNetTrunk

#: Channels between the three convolutions.
_WIDTHS = (128, 64)


class FaceMapper(nn.Module):
    """Residual blocks, their outputs concatenated, and three convolutions.

    Source: DeepfakeMAE (arXiv 2303.01740), section 3.2.2.
    Differs: where the paper is silent: the outputs are resized to the grid of the
    first stage; the convolutions are 3x3 with 128 and 64 channels between them.

    Args:
        variant: A key of `resnet.VARIANTS`.
        norm: A key of `resnet.NORMS`.
    """

    def __init__(self, variant: str, norm: str) -> None:
        super().__init__()
        self.trunk = ResNetTrunk(variant, norm)
        wide, narrow = _WIDTHS
        self.convolutions = nn.Sequential(
            *_convolution(self.trunk.channels, wide, norm),
            *_convolution(wide, narrow, norm),
            nn.Conv2d(narrow, 3, kernel_size=3, padding=1),
        )

    def forward(self, faces_BCHW: Tensor) -> Tensor:
        """Gives mapped faces [B, C, h, w] from normalized faces."""
        first, *others = self.trunk(faces_BCHW)
        size = first.shape[2:]
        resized = [F.interpolate(maps, size, mode="bilinear") for maps in others]
        mapped_BChw: Tensor = self.convolutions(torch.cat([first, *resized], dim=1))
        return mapped_BChw


def shrink(images_BCHW: Tensor) -> Tensor:
    """Averages blocks of 4 x 4 pixels: the grid of mapped faces."""
    return F.avg_pool2d(images_BCHW, kernel_size=4)


def _convolution(inputs: int, outputs: int, norm: str) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    return [convolution, NORMS[norm](outputs), nn.ReLU()]
