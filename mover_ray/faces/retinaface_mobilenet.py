"""RetinaFace on MobileNet-0.25: our body under the package's pyramid, SSH and heads.

Source: Howard et al., "MobileNets" (arXiv 1704.04861), width 0.25, as RetinaFace's
authors use it: three stages at strides 8, 16 and 32. Layer names are those of the
published weights.
Differs: leaky ReLU of slope 0.1, which is what those weights were trained with.
"""

from retinaface.net import FPN, SSH
from retinaface.network import RetinaFace as Network
from torch import Tensor, nn

_SLOPE = 0.1
_LEVELS = 3
_PYRAMID_CHANNELS = 64
_ANCHORS = 2


class MobileNetRetinaFace(Network):  # type: ignore[misc]
    """The package's forward pass over our body.

    Its constructor knows ResNet-50 alone, so it is passed over.
    """

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.body = MobileNetQuarter()
        self.fpn = FPN([64, 128, 256], _PYRAMID_CHANNELS)
        self.ssh1 = SSH(_PYRAMID_CHANNELS, _PYRAMID_CHANNELS)
        self.ssh2 = SSH(_PYRAMID_CHANNELS, _PYRAMID_CHANNELS)
        self.ssh3 = SSH(_PYRAMID_CHANNELS, _PYRAMID_CHANNELS)
        self.ClassHead = self._make_class_head(_LEVELS, _PYRAMID_CHANNELS, _ANCHORS)
        self.BboxHead = self._make_bbox_head(_LEVELS, _PYRAMID_CHANNELS, _ANCHORS)
        self.LandmarkHead = self._make_landmark_head(_LEVELS, _PYRAMID_CHANNELS, _ANCHORS)


class MobileNetQuarter(nn.Module):
    """MobileNetV1 with a quarter of the channels, without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.LeakyReLU(_SLOPE, inplace=True),
        )
        # (channels in, channels out, stride); the paper's table, divided by four.
        first = [(8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
        second = [(64, 128, 2), *[(128, 128, 1)] * 5]
        third = [(128, 256, 2), (256, 256, 1)]
        self.stage1 = nn.Sequential(stem, *(_separable(*sizes) for sizes in first))
        self.stage2 = nn.Sequential(*(_separable(*sizes) for sizes in second))
        self.stage3 = nn.Sequential(*(_separable(*sizes) for sizes in third))

    def forward(self, pixels_B3HW: Tensor) -> dict[int, Tensor]:
        """Gives the maps at strides 8, 16 and 32, in that order."""
        eighth = self.stage1(pixels_B3HW)
        sixteenth = self.stage2(eighth)
        return {1: eighth, 2: sixteenth, 3: self.stage3(sixteenth)}


def _separable(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    """A 3x3 convolution a channel, then a 1x1 convolution across channels."""
    return nn.Sequential(
        nn.Conv2d(
            channels_in, channels_in, 3, stride=stride, padding=1, groups=channels_in, bias=False
        ),
        nn.BatchNorm2d(channels_in),
        nn.LeakyReLU(_SLOPE, inplace=True),
        nn.Conv2d(channels_in, channels_out, 1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )
