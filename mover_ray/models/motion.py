"""Motion: a ResNet that looks along time for what does not move as a face does.

Source: arXiv 2403.05172, on the base of STM (ICCV 2019).

Shapes:
    S: clips   T: frames of a clip   B: frames, S * T of them   F: features
    G: dimensions of the anomaly block   C: colours   H, W: pixels   K: landmarks   X: x and y
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mover_ray.config import check_at_least, check_choice, check_range, from_mapping
from mover_ray.models.base import Detector, DetectorOutput, FaceBatch, InputSpec
from mover_ray.models.layers.classifier import Classifier
from mover_ray.models.layers.losses import label_loss
from mover_ray.models.layers.pixels import normalize
from mover_ray.models.motion_network import BACKBONES, MOTIONS, MotionNetwork, fill

MOTION = "motion"
ANOMALY = "anomaly"


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionConfig:
    """The detector and its choices where the paper is silent."""

    backbone: str = "resnet18"
    """`resnet50` (paper), or `resnet18` for CPUs."""
    image_px: int = 112
    """Side of the crops (paper: 224)."""
    segment_frames: int = 8
    """Frames of one clip (paper: 8 and 16)."""
    motion: str = "mcb"
    """What stands beside each convolution along time: the Motion Consistency Block (`mcb`,
    paper), STM's module of first differences (`cmm`), or nothing (`none`: both ablations)."""
    anomaly: bool = True
    """Whether the Anomaly Detection block takes part in training (False: the ablation)."""
    anomaly_features: int = 128
    """Dimensions in which real faces are made compact (ours: 128)."""
    centre_memory: float = 0.99
    """Memory of the running mean of real faces in those dimensions (ours: 0.99)."""
    cls2_weight: float = 1.0
    """Weight of the cross-entropy of the anomaly block's own classifier (ours: 1)."""
    l1_weight: float = 0.1
    """Weight of the distance of real faces from their mean (ours: 0.1)."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_choice(self, "backbone", tuple(BACKBONES))
        check_choice(self, "motion", tuple(MOTIONS))
        check_range(self, "image_px", 32, 1024)
        check_range(self, "centre_memory", 0.0, 1.0)
        for name in ("segment_frames", "anomaly_features"):
            check_at_least(self, name, 1)
        for name in ("cls2_weight", "l1_weight"):
            check_at_least(self, name, 0.0)


class AnomalyBlock(nn.Module):
    """Draws real clips together and leaves manipulated ones free, beside the main head.

    Source: arXiv 2403.05172, Anomaly Detection block.
    Differs: where the paper is silent: one linear layer gives the dimensions; the centre
    is a running mean of real clips, at first the plain mean of all that were seen; the L1
    distance is a mean over dimensions (summed, its gradient is fifty times that of the
    main head, and a single batch is not learned).
    """

    centre_G: Tensor
    seen: Tensor

    def __init__(self, features: int, dimensions: int, memory: float) -> None:
        super().__init__()
        self.project = nn.Linear(features, dimensions)
        self.classifier = Classifier(dimensions, 1)
        self.memory = memory
        self.register_buffer("centre_G", torch.zeros(dimensions))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, features_SF: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the logit [S] and the place [S, G] of each clip."""
        places_SG: Tensor = self.project(features_SF)
        logits_S: Tensor = self.classifier(places_SG).squeeze(1)
        return logits_S, places_SG

    def spread(self, places_SG: Tensor, labels_S: Tensor) -> Tensor:
        """Gives the mean over real clips of their distance from the centre; 0 without any.

        In training the centre follows the real clips of the batch first.
        """
        places_SG, real_S = places_SG.float(), labels_S == 0
        if self.training:
            self._follow(places_SG.detach(), real_S)
        distances_S = (places_SG - self.centre_G).abs().mean(dim=1)
        return (distances_S * real_S).sum() / real_S.sum().clamp(min=1)

    @torch.no_grad()
    def _follow(self, places_SG: Tensor, real_S: Tensor) -> None:
        """Moves the centre; without branching on what a GPU would have to tell first."""
        count = real_S.sum()
        mean_G = (places_SG * real_S[:, None]).sum(dim=0) / count.clamp(min=1)
        self.seen += count > 0
        share = (1 / self.seen.clamp(min=1)).clamp(min=1 - self.memory) * (count > 0)
        self.centre_G.lerp_(mean_G, share)


class Motion(Detector):
    """STM with Motion Consistency Blocks and an Anomaly Detection block.

    The score is the main head's; the anomaly block's is reported beside it.
    """

    head_names = (MOTION, ANOMALY)

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = InputSpec(
            size_px=config.image_px, segment_frames=config.segment_frames, clips=True
        )
        self.mask_kind = None
        features = BACKBONES[config.backbone].features
        self.network = MotionNetwork(config.backbone, config.motion)
        # A softmax over (real, fake) is a sigmoid of their difference.
        self.classifier = Classifier(features, 1)
        self.anomaly: AnomalyBlock | None = None
        if config.anomaly:
            self.anomaly = AnomalyBlock(features, config.anomaly_features, config.centre_memory)

    def forward(self, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> DetectorOutput:
        """Scores clips by the mean of their frames' logits."""
        self.spec.check(faces_STCHW, landmarks_STKX)
        features_STF = self._features(faces_STCHW)
        frame_logits_ST = self._frame_logits(features_STF)
        logits_S = frame_logits_ST.mean(dim=1)
        heads = {MOTION: logits_S.sigmoid()}
        if self.anomaly is not None:
            anomaly_logits_S, _ = self.anomaly(features_STF.mean(dim=1))
            heads[ANOMALY] = anomaly_logits_S.float().sigmoid()
        return DetectorOutput(logits_S=logits_S, frame_logits_ST=frame_logits_ST, head_scores=heads)

    def losses(self, batch: FaceBatch) -> dict[str, Tensor]:
        """Gives `cls` and, with the anomaly block, `anomaly_cls` and `anomaly_l1`.

        Source: arXiv 2403.05172, its combined loss.
        """
        batch, config = batch.clips(self.spec.segment_frames), self.config
        features_STF = self._features(batch.faces)
        logits_S = self._frame_logits(features_STF).mean(dim=1)
        terms = {"cls": label_loss(logits_S, batch.labels)}
        if self.anomaly is not None:
            anomaly_logits_S, places_SG = self.anomaly(features_STF.mean(dim=1))
            spread = self.anomaly.spread(places_SG, batch.labels)
            terms["anomaly_cls"] = config.cls2_weight * label_loss(anomaly_logits_S, batch.labels)
            terms["anomaly_l1"] = config.l1_weight * spread
        return terms

    def localize(
        self,
        faces_NCHW: Tensor,  # noqa: ARG002 # part of the interface
        landmarks_NKX: Tensor,  # noqa: ARG002
    ) -> Tensor:
        """Raises `RuntimeError`: the method gives no masks."""
        raise RuntimeError("this detector makes no masks")

    def load_start(self, weights: Mapping[str, Tensor]) -> None:
        """Starts from ImageNet weights; see `motion_network.fill`."""
        fill(self.network, weights)

    def _features(self, faces_STCHW: Tensor) -> Tensor:
        frames = faces_STCHW.shape[1]
        features_BF: Tensor = self.network(normalize(faces_STCHW.flatten(0, 1)), frames)
        return features_BF.reshape(-1, frames, features_BF.shape[1])

    def _frame_logits(self, features_STF: Tensor) -> Tensor:
        logits_ST: Tensor = self.classifier(features_STF).squeeze(2).float()
        return logits_ST


def build(settings: Mapping[str, Any]) -> Motion:
    """Builds the detector from the settings of `MotionConfig`, with random weights."""
    return Motion(from_mapping(MotionConfig, settings))
