"""Layers of ResNet in plain torch, under torchvision's state-dict names.

torchvision is not imported on the way to a score: its import takes 6 s of CPU. The
tests compare with its ResNet-18, whose public weights fit.

Shapes:
    B: images   F: channels   H, W: pixels   h, w: pixels of a feature map
"""

import functools
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

Norm = Callable[[int], nn.Module]

#: `batch`: as ResNet; `group`: the same for a face whatever the batch, in training too.
NORMS: dict[str, Norm] = {
    "batch": nn.BatchNorm2d,
    "group": functools.partial(nn.GroupNorm, 32),
}

#: Blocks of layer1, layer2 and layer3 that are kept.
VARIANTS: dict[str, tuple[int, int, int]] = {
    "blocks3": (2, 1, 0),
    "stages3": (2, 2, 2),
}


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions.

    Source: ResNet (arXiv 1512.03385), figure 5 left.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn1 = norm(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = norm(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, norm(outputs))

    def forward(self, maps_BFhw: Tensor) -> Tensor:
        """Gives maps with `outputs` channels, smaller by the stride."""
        inner = F.relu(self.bn1(self.conv1(maps_BFhw)))
        return F.relu(self.bn2(self.conv2(inner)) + self.downsample(maps_BFhw))


class ResNetTrunk(nn.Module):
    """First convolution and first residual blocks of ResNet-18.

    Args:
        variant: `blocks3`: the first three residual blocks, each an output.
            `stages3`: the first three whole stages, each an output.
        norm: A key of `NORMS`.
    """

    def __init__(self, variant: str, norm: str) -> None:
        super().__init__()
        make_norm = NORMS[norm]
        first, second, third = VARIANTS[variant]
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = make_norm(64)
        self.layer1 = _stage(64, 64, 1, first, make_norm)
        self.layer2 = _stage(64, 128, 2, second, make_norm)
        self.layer3 = _stage(128, 256, 2, third, make_norm)
        self.by_stage = variant == "stages3"
        self.channels = (64, 128, 256) if self.by_stage else (64, 64, 128)
        initialize(self)

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Gives three maps; the first has a quarter of the image's side."""
        maps = F.relu(self.bn1(self.conv1(images_BCHW)))
        maps = F.max_pool2d(maps, kernel_size=3, stride=2, padding=1)
        outputs = []
        for stage in (self.layer1, self.layer2, self.layer3):
            for block in stage:
                maps = block(maps)
                outputs.append(maps)
        return outputs[1::2] if self.by_stage else outputs


def _stage(inputs: int, outputs: int, stride: int, blocks: int, norm: Norm) -> nn.Sequential:
    first = (BasicBlock(inputs, outputs, stride, norm) for _ in range(min(blocks, 1)))
    rest = (BasicBlock(outputs, outputs, 1, norm) for _ in range(blocks - 1))
    return nn.Sequential(*first, *rest)


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Gives a 3x3 convolution without bias that keeps the size but for its stride."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


def initialize(module: nn.Module) -> None:
    """Draws the convolutions as ResNet does."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
