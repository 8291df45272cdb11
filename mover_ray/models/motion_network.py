"""ResNet whose blocks also look along time, under torchvision's state-dict names.

Public ImageNet weights fit: what is not theirs is the layers along time.

Shapes:
    S: clips   T: frames of a clip   B: frames, S * T of them
    C: colours   H, W: pixels   F: channels   h, w: pixels of a feature map
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.models.layers.resnet import conv3x3, initialize
from mover_ray.models.layers.stm import MotionBlock, TimeShift
from mover_ray.models.pretrained import check_state

#: Orders of differences of the block beside the convolution; see `MotionBlock`.
MOTIONS: dict[str, int] = {"mcb": 2, "cmm": 1, "none": 0}

#: Weight of a residual before training. At 1 the gradient of a new ResNet-50 has a norm of
#: hundreds and no batch is learned; at 0 (arXiv 1706.02677) nothing inside a block learns from
#: the first step.
_RESIDUAL = 0.1

_STAGE_WIDTHS = (64, 128, 256, 512)


class SpatioTemporal(nn.Module):
    """A 3x3 convolution of shifted channels, with the motion added and normalized together.

    Source: STM (ICCV 2019), figure 3; arXiv 2403.05172 adds the second order.

    Args:
        channels: Of the maps, in and out.
        orders: Of the motion block; 0: there is none.
        stride: In space.
    """

    def __init__(self, channels: int, orders: int, stride: int = 1) -> None:
        super().__init__()
        self.shift = TimeShift(channels)
        self.motion = MotionBlock(channels, orders, stride) if orders else None

    def forward(self, maps_BFhw: Tensor, conv: nn.Module, frames: int) -> Tensor:
        """Gives the block's maps before their norm; `conv` is the ResNet's own."""
        maps: Tensor = conv(self.shift(maps_BFhw, frames))
        return maps if self.motion is None else maps + self.motion(maps_BFhw, frames)


class _Block(Protocol):
    """How a stage builds a block."""

    expansion: int

    def __call__(self, inputs: int, width: int, stride: int, orders: int) -> nn.Module: ...


class StmBasicBlock(nn.Module):
    """ResNet's basic block; its second convolution looks along time.

    Source: ResNet (arXiv 1512.03385), figure 5 left.
    Differs: STM has bottlenecks alone; ours puts its block where maps have been shrunk.
    """

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, orders: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.stm = SpatioTemporal(width, orders)
        self.conv2 = conv3x3(width, width)
        self.bn2 = _last_norm(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, maps_BFhw: Tensor, frames: int) -> Tensor:
        """Gives maps with `width` channels, smaller by the stride."""
        inner = F.relu(self.bn1(self.conv1(maps_BFhw)))
        inner = self.bn2(self.stm(inner, self.conv2, frames))
        return F.relu(inner + self.downsample(maps_BFhw))


class StmBottleneck(nn.Module):
    """ResNet's bottleneck; its middle convolution looks along time.

    Source: ResNet (arXiv 1512.03385), figure 5 right; STM (ICCV 2019), figure 3.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, orders: int) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.conv1 = nn.Conv2d(inputs, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stm = SpatioTemporal(width, orders, stride)
        self.conv2 = conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, kernel_size=1, bias=False)
        self.bn3 = _last_norm(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, maps_BFhw: Tensor, frames: int) -> Tensor:
        """Gives maps with 4 x `width` channels, smaller by the stride."""
        inner = F.relu(self.bn1(self.conv1(maps_BFhw)))
        inner = F.relu(self.bn2(self.stm(inner, self.conv2, frames)))
        inner = self.bn3(self.conv3(inner))
        return F.relu(inner + self.downsample(maps_BFhw))


@dataclass(frozen=True, slots=True)
class Backbone:
    """One size of ResNet."""

    block: _Block
    depths: tuple[int, int, int, int]
    """Blocks of each stage."""

    @property
    def features(self) -> int:
        """Channels of the last map."""
        return _STAGE_WIDTHS[-1] * self.block.expansion


BACKBONES: dict[str, Backbone] = {
    "resnet18": Backbone(StmBasicBlock, (2, 2, 2, 2)),
    "resnet50": Backbone(StmBottleneck, (3, 4, 6, 3)),
}


class MotionNetwork(nn.Module):
    """ResNet that turns the frames of clips into features.

    Args:
        backbone: A key of `BACKBONES`.
        motion: A key of `MOTIONS`.
    """

    def __init__(self, backbone: str, motion: str) -> None:
        super().__init__()
        shape = BACKBONES[backbone]
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        stages = []
        for number, (width, depth) in enumerate(zip(_STAGE_WIDTHS, shape.depths, strict=True)):
            blocks = nn.ModuleList()
            for place in range(depth):
                stride = 2 if number and not place else 1
                blocks.append(shape.block(inputs, width, stride, MOTIONS[motion]))
                inputs = width * shape.block.expansion
            stages.append(blocks)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        initialize(self)
        for part in self.modules():
            if isinstance(part, MotionBlock):
                part.initialize()

    def forward(self, images_BCHW: Tensor, frames: int) -> Tensor:
        """Gives features [B, F] of normalized frames, clips of T = `frames` in a row."""
        maps = F.relu(self.bn1(self.conv1(images_BCHW)))
        maps = F.max_pool2d(maps, kernel_size=3, stride=2, padding=1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                maps = block(maps, frames)
        return maps.mean(dim=(2, 3))


def fill(network: MotionNetwork, weights: Mapping[str, Tensor]) -> None:
    """Starts a network from the ImageNet weights of its ResNet.

    Args:
        network: Its layers along time, which those weights lack, stay as they are.
        weights: Under torchvision's and timm's names; the classifier is passed over.

    Raises:
        ArtifactError: Weights are missing, unknown, of another shape, or not finite.
    """
    found = {name: value.float() for name, value in weights.items() if _is_public(name)}
    own = {name: value for name, value in network.state_dict().items() if _is_public(name)}
    check_state(found, own)
    network.load_state_dict(found, strict=False)


def _is_public(name: str) -> bool:
    """Whether ImageNet weights hold it: files differ in the counters of norms."""
    passed_over = name.startswith("fc.") or name.endswith("num_batches_tracked")
    return not passed_over and ".stm." not in name


def _last_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    nn.init.constant_(norm.weight, _RESIDUAL)
    return norm


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    convolution = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))
