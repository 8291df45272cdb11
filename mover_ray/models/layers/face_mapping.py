"""Maps a face onto what the autoencoder restored of it.

Shapes:
    B: faces   C: colours   H, W: pixels of the face   h, w: a quarter of them
    F: channels   P: facial parts   N: patches   G: patches of a side
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.models.layers.resnet import NORMS, ResNetTrunk

#: Channels between the three convolutions.
_WIDE, _NARROW = 128, 64


class FaceMapper(nn.Module):
    """Residual blocks, their outputs concatenated, and three convolutions.

    Source: DeepfakeMAE (arXiv 2303.01740), section 3.2.2.
    Differs: where the paper is silent: the outputs are resized to the grid of the
    first stage; the convolutions are 1x1, 3x3 and 3x3 with 128 and 64 channels between.

    Args:
        variant: A key of `resnet.VARIANTS`.
        norm: A key of `resnet.NORMS`.
    """

    def __init__(self, variant: str, norm: str) -> None:
        super().__init__()
        self.trunk = ResNetTrunk(variant, norm)
        self.join = JoinMaps(self.trunk.channels, norm)

    def forward(self, faces_BCHW: Tensor) -> Tensor:
        """Gives mapped faces [B, C, h, w] from normalized faces."""
        mapped_BChw: Tensor = self.join(self.trunk(faces_BCHW))
        return mapped_BChw


class JoinMaps(nn.Module):
    """The second half of `FaceMapper`, for whoever needs the trunk's maps too.

    The first of the three convolutions is 1x1, so that it can run before the maps are
    resized: the sum of what it makes of each is what it would make of all concatenated,
    at a twentieth of the work of a 3x3 one.

    Args:
        channels: Of each map.
        norm: A key of `resnet.NORMS`.
    """

    def __init__(self, channels: Sequence[int], norm: str) -> None:
        super().__init__()
        self.first = nn.ModuleList(
            nn.Conv2d(inputs, _WIDE, kernel_size=1, bias=False) for inputs in channels
        )
        self.rest = nn.Sequential(
            NORMS[norm](_WIDE),
            nn.ReLU(),
            *convolution(_WIDE, _NARROW, norm),
            nn.Conv2d(_NARROW, 3, kernel_size=3, padding=1),
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Gives mapped faces [B, C, h, w] from maps [B, F, ...], the first of which is h x w."""
        finest, *coarser = [one(map_) for one, map_ in zip(self.first, maps, strict=True)]
        for one in coarser:
            finest = finest + F.interpolate(one, finest.shape[2:], mode="bilinear")
        mapped_BChw: Tensor = self.rest(finest)
        return mapped_BChw


def shrink(images_BCHW: Tensor) -> Tensor:
    """Averages blocks of 4 x 4 pixels: the grid of mapped faces."""
    return F.avg_pool2d(images_BCHW, kernel_size=4)


def spread_parts(part_masks_BPN: Tensor, side_px: int) -> Tensor:
    """Gives masks of pixels [B, P, h, w] from masks of patches."""
    grid = round(part_masks_BPN.shape[-1] ** 0.5)
    grids_BPGG = part_masks_BPN.reshape(*part_masks_BPN.shape[:2], grid, grid).float()
    return F.interpolate(grids_BPGG, (side_px, side_px)).bool()


def mean_in_parts(values_Bhw: Tensor, parts_BPhw: Tensor) -> Tensor:
    """Gives the mean of each part [B, P]; 0 for a part that lies outside the crop."""
    total_BP = (values_Bhw[:, None] * parts_BPhw).sum(dim=(2, 3))
    return total_BP / parts_BPhw.sum(dim=(2, 3)).clamp(min=1)


def convolution(inputs: int, outputs: int, norm: str) -> list[nn.Module]:
    """Gives a 3x3 convolution, its norm and its ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    return [convolution, NORMS[norm](outputs), nn.ReLU()]
