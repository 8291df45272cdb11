"""RetinaFace with retinaface-pytorch's network: ResNet-50 for GPUs, MobileNet for any machine.

Source: Deng et al., "RetinaFace: Single-stage Dense Face Localisation in the Wild"
(arXiv 1905.00641).
Differs: the five landmarks are not used; overlapping boxes of a whole batch are
suppressed at once by torchvision.

Shapes: B images, H height, W width, A anchors (two for each cell of three grids).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from mover_ray.errors import ConfigError
from mover_ray.faces.base import Detections, Image
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.scores import RETINAFACE
from mover_ray.faces.torch_weights import load_into
from mover_ray.faces.weights import policy_file

try:
    from retinaface.box_utils import decode
    from retinaface.network import RetinaFace as Network
    from retinaface.prior_box import priorbox
except ImportError as error:
    raise ConfigError(
        "detector needs the package `retinaface-pytorch`",
        hint="pip install mover-ray[retinaface]",
    ) from error

# The anchors and variances that both published sets of weights were trained with.
_ANCHOR_SIZES_PX = [[16, 32], [64, 128], [256, 512]]
_STEPS_PX = [8, 16, 32]
_VARIANCES = [0.1, 0.2]
_MULTIPLE_PX = 32
_MOST_IOU = 0.4
_GPU_BATCH = 16


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What the network's first layer expects of the pixels."""

    mean: tuple[float, float, float]
    """Subtracted, for each channel in the order of the network, 0 to 255."""
    scale: tuple[float, float, float]
    """Divides what is left."""
    reverse_channels: bool
    """Whether the network was trained on BGR."""


#: retinaface-pytorch trains on RGB with ImageNet's statistics.
IMAGENET = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), reverse_channels=False)
#: The MobileNet weights come from a Caffe-style recipe: BGR, mean only.
CAFFE = Normalisation((104.0, 117.0, 123.0), (1.0, 1.0, 1.0), reverse_channels=True)


class RetinaFace:
    """Runs a network over images of one size together; on a CPU one at a time.

    A convolution's rounding may depend on the size of the batch, and on a CPU scores
    must not depend on an image's neighbours.
    """

    def __init__(
        self, network: nn.Module, normalisation: Normalisation, min_score: float, device: str
    ) -> None:
        self._network = network.eval().to(device)
        self._mean = torch.tensor(normalisation.mean, device=device).view(1, 3, 1, 1)
        self._scale = torch.tensor(normalisation.scale, device=device).view(1, 3, 1, 1)
        self._reverse = normalisation.reverse_channels
        self._least = RETINAFACE.to_raw(min_score)
        self._device = device
        self._batch = _GPU_BATCH if device.startswith("cuda") else 1

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Finds the faces of each image; see `FaceDetector`."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(images):
            by_size.setdefault(image.shape, []).append(index)
        found: dict[int, Detections] = {}
        for indices in by_size.values():
            for start in range(0, len(indices), self._batch):
                chosen = indices[start : start + self._batch]
                found.update(zip(chosen, self._run([images[i] for i in chosen]), strict=True))
        return [found[index] for index in range(len(images))]

    @torch.inference_mode()
    def _run(self, images: Sequence[Image]) -> list[Detections]:
        pixels_B3HW = self._network_input(images)
        offsets_BA4, logits_BA2, _ = self._network(pixels_B3HW)
        scores_BA = logits_BA2.softmax(dim=-1)[..., 1]
        image_K, anchor_K = (scores_BA >= self._least).nonzero(as_tuple=True)
        height, width = pixels_B3HW.shape[2:]
        anchors_K4 = _anchors(height, width).to(self._device)[anchor_K]
        boxes_K4 = decode(offsets_BA4[image_K, anchor_K], anchors_K4, _VARIANCES)
        boxes_K4 = boxes_K4 * boxes_K4.new_tensor([width, height, width, height])
        scores_K = scores_BA[image_K, anchor_K]
        keep = batched_nms(boxes_K4, scores_K, image_K, _MOST_IOU)
        return _split(boxes_K4[keep], scores_K[keep], image_K[keep], len(images))

    def _network_input(self, images: Sequence[Image]) -> Tensor:
        """Normalises, then pads with zeros, the mean colour, on the right and below."""
        stack = np.stack(images)[..., ::-1] if self._reverse else np.stack(images)
        pixels = torch.from_numpy(np.ascontiguousarray(stack)).to(self._device)
        pixels = (pixels.permute(0, 3, 1, 2).float() - self._mean) / self._scale
        below, right = (-side % _MULTIPLE_PX for side in pixels.shape[2:])
        return nn.functional.pad(pixels, (0, right, 0, below))


def build_resnet50(policy: FacePolicy, device: str) -> RetinaFace:
    """Builds the network of retinaface-pytorch with the policy's weights.

    Raises:
        ConfigError: The policy names no weights.
        ArtifactError: The weights are missing, altered, or of another network.
    """
    with warnings.catch_warnings():
        # The package uses a torchvision argument that is deprecated but still honoured.
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        network = Network(
            name="Resnet50",
            pretrained=False,
            in_channels=256,
            return_layers={"layer2": 1, "layer3": 2, "layer4": 3},
            out_channels=256,
        )
    load_into(network, policy_file(policy))
    return RetinaFace(network, IMAGENET, policy.min_score, device)


def build_mobilenet(policy: FacePolicy, device: str) -> RetinaFace:
    """Builds the MobileNet-0.25 variant with the policy's weights.

    Raises:
        ConfigError: The policy names no weights.
        ArtifactError: The weights are missing, altered, or of another network.
    """
    from mover_ray.faces.retinaface_mobilenet import MobileNetRetinaFace

    network = MobileNetRetinaFace()
    load_into(network, policy_file(policy))
    return RetinaFace(network, CAFFE, policy.min_score, device)


@lru_cache(maxsize=32)
def _anchors(height: int, width: int) -> Tensor:
    """Gives [A, 4] (centre, size) as fractions of the image; a Python loop, so kept."""
    anchors: Tensor = priorbox(_ANCHOR_SIZES_PX, _STEPS_PX, clip=False, image_size=(height, width))
    return anchors


def _split(boxes_K4: Tensor, scores_K: Tensor, image_K: Tensor, count: int) -> list[Detections]:
    boxes, owners = boxes_K4.float().cpu().numpy(), image_K.cpu().numpy()
    scores = RETINAFACE.to_common(scores_K.float().cpu().numpy())
    everything = Detections(boxes, scores)
    return [everything.select(owners == index) for index in range(count)]
