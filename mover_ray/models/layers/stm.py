"""Layers that look along time in a convolutional network whose batch is frames.

Frames of a clip lie side by side in the batch. Before anything is moved or subtracted
along time the batch is cut into clips: no layer here mixes two clips.

Shapes:
    S: clips   T: frames of a clip   B: frames, S * T of them
    F: channels   h, w: pixels of a feature map
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Channels of a map to one channel in which motion is computed.
_REDUCTION = 16
#: Deviation of what motion is weighted with before training.
_QUIET = 0.01


class TimeShift(nn.Module):
    """Convolves each channel over three frames; the ends see zeros.

    Before training a quarter of the channels is that of the frame before, a quarter that
    of the frame after, and the rest stays.

    Source: STM (ICCV 2019), channel-wise spatiotemporal module, its first convolution.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        weight_3F = torch.zeros(3, channels)
        weight_3F[0, :quarter] = 1.0
        weight_3F[1, quarter : channels - quarter] = 1.0
        weight_3F[2, channels - quarter :] = 1.0
        self.weight_3F = nn.Parameter(weight_3F)

    def forward(self, maps_BFhw: Tensor, frames: int) -> Tensor:
        """Gives maps [B, F, h, w].

        Args:
            maps_BFhw: Clips of neighbouring frames, one after the other.
            frames: T.
        """
        maps_STFhw = _clips(maps_BFhw, frames)
        before, same, after = self.weight_3F[:, :, None, None]
        shifted_STFhw = maps_STFhw * same
        # In place: half the time of adding whole maps, of which the ends are zeros.
        shifted_STFhw[:, 1:].addcmul_(maps_STFhw[:, :-1], before)
        shifted_STFhw[:, :-1].addcmul_(maps_STFhw[:, 1:], after)
        shifted_BFhw: Tensor = shifted_STFhw.flatten(0, 1)
        return shifted_BFhw


class MotionBlock(nn.Module):
    """Tells how a map changes from frame to frame, and how that change changes.

    The difference of a step is K(next frame) - this frame, where K convolves each channel
    in space, so that what moves evenly can be followed. With `orders` 1 there are first
    differences alone (STM's channel-wise motion module); with 2 also those of the
    differences, which are nothing where motion goes on as it was.

    Source: STM (ICCV 2019), channel-wise motion module; Motion Consistency Block of
    arXiv 2403.05172, a differential of second order.
    Differs: where the paper is silent: differences are taken of real frames only, and
    steps that lack a later frame are zero; both orders share one expansion, the sum of
    what two would give.

    Args:
        channels: Of the maps, in and out.
        orders: 1 or 2.
        stride: In space.
    """

    def __init__(self, channels: int, orders: int, stride: int = 1) -> None:
        super().__init__()
        width = channels // _REDUCTION
        self.reduce = nn.Conv2d(channels, width, kernel_size=1, stride=stride, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.follow = nn.ModuleList(Follow(width) for _ in range(orders))
        self.expand = nn.Conv2d(orders * width, channels, kernel_size=1, bias=False)
        self.initialize()

    def initialize(self) -> None:
        """Draws weights that leave what the ResNet has learned nearly undisturbed (ours)."""
        nn.init.kaiming_normal_(self.reduce.weight, nonlinearity="linear")
        nn.init.normal_(self.expand.weight, std=_QUIET)

    def forward(self, maps_BFhw: Tensor, frames: int) -> Tensor:
        """Gives motion [B, F, h, w]; arguments as for `TimeShift`."""
        steps_STFhw = _clips(self.norm(self.reduce(maps_BFhw)), frames)
        orders = []
        for follow in self.follow:
            steps_STFhw = _difference(follow, steps_STFhw)
            missing = frames - steps_STFhw.shape[1]
            orders.append(F.pad(steps_STFhw, (0, 0, 0, 0, 0, 0, 0, missing)).flatten(0, 1))
        motion_BFhw: Tensor = self.expand(torch.cat(orders, dim=1))
        return motion_BFhw


class Follow(nn.Module):
    """A 3x3 convolution of each channel by itself.

    Differs: the papers are silent; ours changes nothing before training, so that a still
    picture has no motion.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernels_F133 = torch.zeros(channels, 1, 3, 3)
        kernels_F133[:, :, 1, 1] = 1.0
        self.kernels_F133 = nn.Parameter(kernels_F133)

    def forward(self, maps_BFhw: Tensor) -> Tensor:
        """Gives maps of the same shape."""
        channels = len(self.kernels_F133)
        return F.conv2d(maps_BFhw, self.kernels_F133, padding=1, groups=channels)


def _clips(maps_BFhw: Tensor, frames: int) -> Tensor:
    """Gives [S, T, F, h, w]: the one place where a batch of frames is cut into clips."""
    return maps_BFhw.reshape(-1, frames, *maps_BFhw.shape[1:])


def _difference(follow: nn.Module, maps_STFhw: Tensor) -> Tensor:
    """Gives one step less than there were; of no step, none."""
    later_STFhw = maps_STFhw[:, 1:]
    followed = follow(later_STFhw.flatten(0, 1)).reshape(later_STFhw.shape)
    difference_STFhw: Tensor = followed - maps_STFhw[:, : later_STFhw.shape[1]]
    return difference_STFhw
