"""A public backbone of which only the LayerNorms learn, and a linear head on unit features.

Source: "GenD" (arXiv 2508.06248), the strongest of the simple detectors. Alignment and
uniformity: arXiv 2005.10242.

Shapes:
    S: segments   T: frames of a segment   B: faces, S * T of them   C: colours   H, W: pixels
    K: landmarks   D: width of the backbone
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from mover_ray.config import check_at_least, from_mapping
from mover_ray.models.base import DetectorOutput, FaceBatch, InputSpec
from mover_ray.models.frozen_backbone import BackboneConfig, FrozenBackbone, load_backbone
from mover_ray.models.frozen_backbone_detector import BackboneDetector
from mover_ray.models.layers.classifier import Classifier
from mover_ray.models.layers.fusion import logit_of_mean
from mover_ray.models.layers.losses import alignment_loss, label_loss, uniformity_loss

HEAD = "linear"


@dataclass(frozen=True, kw_only=True, slots=True)
class LnClipConfig:
    """The detector, and its choices where the paper is silent."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """What is tuned: CLIP's ViT-L/14 in the paper, DINOv2 does as well."""
    segment_frames: int = 4
    """Frames of a segment, each classified by itself; the segment has their mean
    probability. Of no effect on what is learned of a face."""
    alignment_weight: float = 0.1
    """Weight of the distance between faces of one class."""
    uniformity_weight: float = 0.5
    """Weight of the spread of all faces over the sphere."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "segment_frames", 1)
        check_at_least(self, "alignment_weight", 0.0)
        check_at_least(self, "uniformity_weight", 0.0)


class LnClip(BackboneDetector):
    """LayerNorms of its own in a backbone that stays as it is."""

    head_names = (HEAD,)

    def __init__(self, config: LnClipConfig) -> None:
        backbone = load_backbone(config.backbone)
        super().__init__(backbone)
        self.config = replace(config, backbone=backbone.config)
        self.spec = InputSpec(
            size_px=config.backbone.image_px, segment_frames=config.segment_frames
        )
        self.mask_kind = None
        self.norms = nn.ParameterDict(_norms(backbone))
        self.head = Classifier(backbone.width, 2)

    def forward(self, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> DetectorOutput:
        """Scores segments by the mean of their frames' probabilities."""
        self.spec.check(faces_STCHW, landmarks_STKX)
        logits_B = self._classify(self.features(faces_STCHW.flatten(0, 1)))
        logits_ST = logits_B.reshape(faces_STCHW.shape[:2])
        logits_S = logit_of_mean(logits_ST, dim=1)
        return DetectorOutput(
            logits_S=logits_S,
            frame_logits_ST=logits_ST,
            head_scores={HEAD: logits_S.sigmoid()},
        )

    def losses(self, batch: FaceBatch) -> dict[str, Tensor]:
        """Gives `cls`, `alignment` and `uniformity` over all faces of the batch."""
        faces = batch.singles()
        features_BD = self.features(faces.faces)
        config = self.config
        return {
            "cls": label_loss(self._classify(features_BD), faces.labels),
            "alignment": config.alignment_weight * alignment_loss(features_BD, faces.labels),
            "uniformity": config.uniformity_weight * uniformity_loss(features_BD),
        }

    def localize(self, faces_NCHW: Tensor, landmarks_NKX: Tensor) -> Tensor:  # noqa: ARG002
        """Raises `RuntimeError`: the method shows no place."""
        raise RuntimeError("this detector makes no masks")

    def features(self, faces_BCHW: Tensor) -> Tensor:
        """Gives the class token [B, D] at length 1, of RGB of 0 to 255."""
        own = {name.replace("/", "."): value for name, value in self.norms.items()}
        pooled_BD: Tensor = functional_call(
            self.backbone.vit, own, (self.backbone.normalize(faces_BCHW),)
        )
        return F.normalize(pooled_BD.float(), dim=-1)

    def _classify(self, features_BD: Tensor) -> Tensor:
        classes_B2: Tensor = self.head(features_BD)
        return (classes_B2[:, 1] - classes_B2[:, 0]).float()


def build(settings: Mapping[str, Any]) -> LnClip:
    """Builds the detector from the settings of `LnClipConfig`; its head is random."""
    return LnClip(from_mapping(LnClipConfig, settings))


def _norms(backbone: FrozenBackbone) -> dict[str, nn.Parameter]:
    """Gives copies of the LayerNorms; a name in a ParameterDict cannot hold a dot."""
    layers = {
        name: layer
        for name, layer in backbone.vit.named_modules()
        if isinstance(layer, nn.LayerNorm)
    }
    return {
        f"{name}.{part}".replace(".", "/"): nn.Parameter(value.detach().clone())
        for name, layer in layers.items()
        for part, value in layer.named_parameters()
    }
