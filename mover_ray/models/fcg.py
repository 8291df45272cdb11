"""DFD-FCG: reads a frozen vision transformer along time and by facial components.

Source: DFD-FCG (arXiv 2404.05583), and its authors' code.

Shapes:
    S: clips   T: frames of a clip   B: faces, S * T of them   C: colours   H, W: pixels
    K: landmarks   N: patches, raster order   G: patches of a side   D: width of the backbone
    L: blocks of the backbone   P: facial components
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from mover_ray.config import check_at_least, check_range, from_mapping
from mover_ray.models.base import DetectorOutput, FaceBatch, InputSpec
from mover_ray.models.frozen_backbone import (
    BackboneConfig,
    FrozenBackbone,
    LayerFeatures,
    load_backbone,
)
from mover_ray.models.frozen_backbone_detector import FeatureDetector
from mover_ray.models.layers.classifier import Classifier
from mover_ray.models.layers.fusion import logit_of_mean
from mover_ray.models.layers.losses import focal_loss
from mover_ray.models.layers.side_decoder import (
    ComponentDecoder,
    TemporalDecoder,
    component_loss,
)

#: The components in the order of the queries, each the parts of `roi` that make it up.
COMPONENTS: dict[str, tuple[str, ...]] = {
    "lips": ("mouth",),
    "skin": ("cheeks", "chin"),
    "eyes": ("brows", "eyes"),
    "nose": ("nose_root", "nose"),
}

SPATIAL, TEMPORAL, JOINT = "spatial", "temporal", "joint"


@dataclass(frozen=True, kw_only=True, slots=True)
class FcgConfig:
    """The detector, and its choices where the paper is silent."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """What is read (paper: CLIP's ViT-L/14 at 224 px)."""
    segment_frames: int = 10
    """Frames of a clip (paper: 10, in 3 s)."""
    focal_weight: float = 10.0
    """Weight of the classification loss, the mean over the three heads (code: 10)."""
    focal_gamma: float = 4.0
    """How much less a face counts that is classified well already (code: 4)."""
    guidance_weight: float = 1.5
    """Weight of the facial component guidance; 0: queries go where they will (code: 1.5)."""
    guidance_scale: float = 30.0
    """Factor of the cosines in the guidance (code: 30)."""
    attention_range: float = 8.0
    """Masks show attention as a multiple of even attention; so much of it is white. A
    constant of the bundle."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "segment_frames", 2)
        for name in ("focal_weight", "focal_gamma", "guidance_weight", "guidance_scale"):
            check_at_least(self, name, 0.0)
        check_range(self, "attention_range", 1.0, 1000.0)


class Fcg(FeatureDetector):
    """The decoder beside the backbone, and three heads on what it gathers."""

    head_names = (SPATIAL, TEMPORAL, JOINT)

    def __init__(self, config: FcgConfig) -> None:
        backbone = load_backbone(config.backbone)
        super().__init__(backbone)
        self.config = replace(config, backbone=backbone.config)
        self.spec = InputSpec(
            size_px=config.backbone.image_px, segment_frames=config.segment_frames, clips=True
        )
        self.mask_kind = "attention"
        self.temporal = nn.ModuleList(
            TemporalDecoder(backbone.heads, config.segment_frames) for _ in range(backbone.depth)
        )
        self.spatial = nn.ModuleList(
            ComponentDecoder(backbone.width, len(COMPONENTS)) for _ in range(backbone.depth)
        )
        self.heads = _Heads(backbone)
        shape = (backbone.depth, len(COMPONENTS), backbone.width)
        # Zeros until `guide`: then the guidance pulls no query anywhere.
        self.register_buffer("prototypes_LPD", torch.zeros(shape))

    @torch.no_grad()
    def guide(self, prototypes_LPD: Tensor) -> None:
        """Sets what the components look like to the backbone; the queries start there.

        Raises:
            ValueError: The prototypes are of another backbone.
        """
        own_LPD = self.get_buffer("prototypes_LPD")
        if prototypes_LPD.shape != own_LPD.shape:
            raise ValueError(f"prototypes {list(own_LPD.shape)}: {list(prototypes_LPD.shape)}")
        own_LPD.copy_(prototypes_LPD)
        for decoder, prototypes_PD in zip(self.spatial, prototypes_LPD, strict=True):
            decoder.get_parameter("queries_PD").copy_(prototypes_PD)

    def reader(self, num_segments: int) -> "FcgReader":
        """Begins with a batch of clips."""
        return FcgReader(self, num_segments)

    def losses(self, batch: FaceBatch) -> dict[str, Tensor]:
        """Gives `focal` and `guidance`.

        Source: DFD-FCG's code.
        Differs: the focal loss is the mean over the heads, about which we know nothing.
        """
        clips = batch.clips(self.config.segment_frames)
        reader = self.reader(len(clips.labels))
        self.backbone.read(clips.faces.flatten(0, 1), reader.take)
        by_head = reader.head_logits()
        focal = [
            focal_loss(logits_S, clips.labels, self.config.focal_gamma)
            for logits_S in by_head.values()
        ]
        queries_LPD = torch.stack([one.get_parameter("queries_PD") for one in self.spatial])
        guidance = component_loss(
            queries_LPD, self.get_buffer("prototypes_LPD"), self.config.guidance_scale
        )
        return {
            "focal": self.config.focal_weight * torch.stack(focal).mean(),
            "guidance": self.config.guidance_weight * guidance,
        }

    @torch.no_grad()
    def localize(self, faces_NCHW: Tensor, landmarks_NKX: Tensor) -> Tensor:
        """Gives where the components were looked for, as a multiple of even attention.

        What is shown is attention: not where a face was forged, but what was judged.
        """
        self.spec.check_faces(faces_NCHW, landmarks_NKX)
        attention: list[Tensor] = []

        def take(layer: LayerFeatures) -> None:
            _, attention_NPN = self.spatial[layer.index](layer.keys_BND, layer.residual_BND)
            attention.append(attention_NPN.mean(dim=1))

        self.backbone.read(faces_NCHW, take)
        return self.shown(torch.stack(attention).mean(dim=0))

    def shown(self, attention_BN: Tensor) -> Tensor:
        """Gives maps [B, G, G] in [0, 1] of attention that sums to 1."""
        grid = self.backbone.grid
        multiple_BN = attention_BN * attention_BN.shape[1] / self.config.attention_range
        shown_BGG: Tensor = multiple_BN.clamp(0.0, 1.0).reshape(-1, grid, grid)
        return shown_BGG


class FcgReader:
    """What the decoder has gathered of a batch of clips; see `FeatureReader`."""

    def __init__(self, detector: Fcg, num_segments: int) -> None:
        """Begins with so many clips."""
        self._detector = detector
        self._shape = (num_segments, detector.config.segment_frames)
        self._temporal: list[Tensor] = []
        self._spatial: list[Tensor] = []
        self._attention: list[Tensor] = []

    def take(self, layer: LayerFeatures) -> None:
        """Reads what a block of the backbone made."""
        detector = self._detector
        attributes = layer.attributes_XBNAE
        attributes_XSTNAE = attributes.reshape(3, *self._shape, *attributes.shape[2:])
        self._temporal.append(detector.temporal[layer.index](attributes_XSTNAE))
        seen_BD, attention_BPN = detector.spatial[layer.index](layer.keys_BND, layer.residual_BND)
        self._spatial.append(seen_BD)
        self._attention.append(attention_BPN.detach().mean(dim=1))

    def head_logits(self) -> dict[str, Tensor]:
        """Gives logits of clips [S] by head."""
        temporal_SN, spatial_STD = self._gathered()
        logits: dict[str, Tensor] = self._detector.heads(temporal_SN, spatial_STD.mean(dim=1))
        return logits

    def output(self) -> DetectorOutput:
        """Scores clips by the mean of the heads' probabilities.

        A frame's logit is what the clip would have if all of it looked like the frame.
        """
        temporal_SN, spatial_STD = self._gathered()
        heads = self._detector.heads
        by_clip: dict[str, Tensor] = heads(temporal_SN, spatial_STD.mean(dim=1))
        frames = temporal_SN[:, None].expand(-1, self._shape[1], -1)
        by_frame: dict[str, Tensor] = heads(frames, spatial_STD)
        masks_BGG = self._detector.shown(torch.stack(self._attention).mean(dim=0))
        return DetectorOutput(
            logits_S=logit_of_mean(torch.stack(list(by_clip.values())), dim=0),
            frame_logits_ST=logit_of_mean(torch.stack(list(by_frame.values())), dim=0),
            head_scores={name: logits.sigmoid() for name, logits in by_clip.items()},
            masks_SThw=masks_BGG.reshape(*self._shape, *masks_BGG.shape[1:]),
        )

    def _gathered(self) -> tuple[Tensor, Tensor]:
        """Gives the sums over the blocks: temporal [S, N] and spatial [S, T, D]."""
        spatial_BD = torch.stack(self._spatial).sum(dim=0)
        spatial_STD = spatial_BD.reshape(*self._shape, -1)
        return torch.stack(self._temporal).sum(dim=0), spatial_STD


class _Heads(nn.Module):
    """Three classifiers of (real, fake); a softmax over two is a sigmoid of the difference."""

    def __init__(self, backbone: FrozenBackbone) -> None:
        super().__init__()
        patches = backbone.grid**2
        self.temporal_norm = nn.LayerNorm(patches)
        self.spatial_norm = nn.LayerNorm(backbone.width)
        self.temporal = Classifier(patches, 2)
        self.spatial = Classifier(backbone.width, 2)
        self.joint = Classifier(backbone.width + patches, 2)

    def forward(self, temporal: Tensor, spatial: Tensor) -> dict[str, Tensor]:
        """Gives logits by head of [..., N] and [..., D] with the same leading dimensions."""
        temporal, spatial = self.temporal_norm(temporal), self.spatial_norm(spatial)
        classes: dict[str, Tensor] = {
            SPATIAL: self.spatial(spatial),
            TEMPORAL: self.temporal(temporal),
            JOINT: self.joint(torch.cat([spatial, temporal], dim=-1)),
        }
        return {name: (of[..., 1] - of[..., 0]).float() for name, of in classes.items()}


def build(settings: Mapping[str, Any]) -> Fcg:
    """Builds the detector from the settings of `FcgConfig`: random weights, but its backbone's."""
    return Fcg(from_mapping(FcgConfig, settings))
