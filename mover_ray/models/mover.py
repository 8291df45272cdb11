"""Mover, first called DeepfakeMAE: finds what does not fit the rest of a face.

Source: arXiv 2303.01740 (DeepfakeMAE), arXiv 2305.05943 (Mover).

Shapes:
    S: segments   T: frames of a segment   B: faces, S * T of them   P: facial parts
    N: patches   D: width of the encoder   C: colours   H, W: pixels of a face
    h, w: pixels of a mapped face, a quarter of H, W   K: landmarks   X: x and y
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.config import check_at_least, check_choice, check_range, from_mapping
from mover_ray.errors import ConfigError
from mover_ray.faces.parts import PARTITIONS, patch_masks
from mover_ray.models.base import Detector, DetectorOutput, InputSpec
from mover_ray.models.layers.classifier import Classifier
from mover_ray.models.layers.face_mapping import FaceMapper, shrink
from mover_ray.models.layers.fusion import logit_of_mean
from mover_ray.models.layers.pixels import absolute_difference, normalize
from mover_ray.models.layers.resnet import NORMS, VARIANTS
from mover_ray.models.mae import Encoder, MAEConfig, MaskedAutoencoder

FINETUNING = "finetuning"
MAPPING = "mapping"

#: Side of the grid on which the mapping branch's classifier sees the mapped face.
_POOLED = 7
#: Side of the box that smooths a residual map: about a patch of 16 px at a quarter size.
_SMOOTH = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class MoverConfig:
    """The detector and its choices where the paper is silent."""

    mae: MAEConfig = field(default_factory=MAEConfig)
    """The autoencoder of the first stage; the finetuning branch has its encoder's size."""
    segment_frames: int = 5
    """Frames of one segment, averaged by the finetuning branch (paper: 5)."""
    branches: tuple[str, ...] = (FINETUNING, MAPPING)
    """Which branches score; the paper's ablations use one alone. Without `mapping`
    there are no masks."""
    blocks: str = "blocks3"
    """The mapping branch's part of ResNet-18: three residual blocks (`blocks3`, paper) or
    three whole stages (`stages3`)."""
    norm: str = "batch"
    """Normalization of the mapping branch: `batch` (as ResNet) or `group`."""
    target: str = "unmasked"
    """What the mapped face is compared with: `unmasked` (paper: restored from all
    patches) or `stitched` (every part restored from the rest; 6 to 14 times the work)."""
    partition: str = "roi"
    """How the face is split into parts: `raster` (DeepfakeMAE), `bands` or `roi` (Mover)."""
    mask_ratio: float = 0.5
    """Share of a part that is hidden at once (paper: 0.5)."""
    residual_scale: float = 4.0
    """Masks show |face - restored face| times this, cut at 1; a difference of 1 is black
    against white. A constant of the bundle, set when the detector is validated."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "segment_frames", 1)
        check_choice(self, "blocks", tuple(VARIANTS))
        check_choice(self, "norm", tuple(NORMS))
        check_choice(self, "target", ("unmasked", "stitched"))
        check_choice(self, "partition", tuple(PARTITIONS))
        check_range(self, "mask_ratio", 0.05, 0.95)
        check_range(self, "residual_scale", 0.1, 100.0)
        if self.branches not in ((FINETUNING, MAPPING), (FINETUNING,), (MAPPING,)):
            hint = f"choose `{FINETUNING}`, `{MAPPING}` or both in this order"
            raise ConfigError(f"unknown branches: `{list(self.branches)}`", hint=hint)
        if self.mae.image_px % 4:
            raise ConfigError(f"mae.image_px is no multiple of 4: `{self.mae.image_px}`")


class FinetuningNetwork(nn.Module):
    """Classifies whole faces by the mean of what the first stage's encoder sees.

    Source: DeepfakeMAE, section 3.2.1.
    Differs: where the paper is silent: the mean is over the patches' tokens and the
    frames, without the class token.
    """

    def __init__(self, config: MAEConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.head = Classifier(self.encoder.width, 2)

    def forward(self, faces_STCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the logits of normalized faces: of segments [S] and of frames [S, T]."""
        segments = faces_STCHW.shape[:2]
        tokens_BND = self.encoder(faces_STCHW.flatten(0, 1))[:, 1:]
        features_STD = tokens_BND.mean(dim=1).reshape(*segments, -1)
        return self._logit(features_STD.mean(dim=1)), self._logit(features_STD)

    def _logit(self, features: Tensor) -> Tensor:
        """A softmax over (real, fake) is a sigmoid of their difference."""
        classes: Tensor = self.head(features).float()
        return classes[..., 1] - classes[..., 0]


class MappingNetwork(nn.Module):
    """Maps a face onto its restoration and classifies by how far it fails to.

    Source: DeepfakeMAE, section 3.2.2.
    Differs: where the paper is silent: the classifier sees the mapped face pooled to
    7 x 7 and its mean difference from the target in each part.
    """

    def __init__(self, blocks: str, norm: str, num_parts: int) -> None:
        super().__init__()
        self.mapper = FaceMapper(blocks, norm)
        self.head = Classifier(3 * _POOLED**2 + num_parts, 1)

    def forward(
        self, faces_BCHW: Tensor, target_BChw: Tensor, parts_BPhw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gives the logit [B] of each face and the mapped face [B, C, h, w].

        Args:
            faces_BCHW: Normalized faces.
            target_BChw: What the autoencoder restored of them, shrunk.
            parts_BPhw: bool, True = the pixel belongs to the part.
        """
        mapped_BChw: Tensor = self.mapper(faces_BCHW)
        pooled = F.adaptive_avg_pool2d(mapped_BChw, _POOLED).flatten(1)
        difference_Bhw = (mapped_BChw - target_BChw).abs().mean(dim=1)
        features = torch.cat([pooled, _mean_in_parts(difference_Bhw, parts_BPhw)], dim=1)
        logits_B: Tensor = self.head(features).squeeze(1).float()
        return logits_B, mapped_BChw


class Mover(Detector):
    """Both branches and the frozen autoencoder between them."""

    head_names = (FINETUNING, MAPPING)

    def __init__(self, config: MoverConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = InputSpec(size_px=config.mae.image_px, segment_frames=config.segment_frames)
        self.finetuning: FinetuningNetwork | None = None
        self.mapping: MappingNetwork | None = None
        self.mae: MaskedAutoencoder | None = None
        self.mask_kind = None
        if FINETUNING in config.branches:
            self.finetuning = FinetuningNetwork(config.mae)
        if MAPPING in config.branches:
            num_parts = len(PARTITIONS[config.partition])
            self.mapping = MappingNetwork(config.blocks, config.norm, num_parts)
            # The second stage compares faces with what the first stage learned of real
            # ones; training goes on in the finetuning branch's own encoder.
            self.mae = MaskedAutoencoder(config.mae).requires_grad_(requires_grad=False)
            self.mask_kind = "residual"

    def forward(self, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> DetectorOutput:
        """Scores segments by the mean of the branches' probabilities.

        Differs: the paper's mapping branch sees one frame of a video; here a segment
        gets the mean of its frames' probabilities.
        """
        self.spec.check(faces_STCHW, landmarks_STKX)
        faces_STCHW = normalize(faces_STCHW)
        by_segment, by_frame = {}, {}
        if self.finetuning is not None:
            by_segment[FINETUNING], by_frame[FINETUNING] = self.finetuning(faces_STCHW)
        if self.mapping is not None:
            by_frame[MAPPING] = self._map(self.mapping, faces_STCHW, landmarks_STKX)
            by_segment[MAPPING] = logit_of_mean(by_frame[MAPPING], dim=1)
        return DetectorOutput(
            logits_S=logit_of_mean(torch.stack(list(by_segment.values())), dim=0),
            frame_logits_ST=logit_of_mean(torch.stack(list(by_frame.values())), dim=0),
            head_scores={name: logits.sigmoid() for name, logits in by_segment.items()},
        )

    @torch.no_grad()
    def localize(self, faces_NCHW: Tensor, landmarks_NKX: Tensor) -> Tensor:
        """Gives |face - stitched restoration| [N, h, w], smoothed, scaled and cut at 1."""
        if self.mae is None:
            raise RuntimeError("this detector makes no masks")
        self.spec.check_faces(faces_NCHW, landmarks_NKX)
        faces_NCHW = normalize(faces_NCHW)
        parts_NPN = self.part_masks(landmarks_NKX)
        restored_NCHW = self.mae.stitched(faces_NCHW, parts_NPN, self.config.mask_ratio)
        residual_N1hw = shrink(absolute_difference(faces_NCHW, restored_NCHW)[:, None])
        smooth_N1hw: Tensor = F.avg_pool2d(
            residual_N1hw, _SMOOTH, stride=1, padding=_SMOOTH // 2, count_include_pad=False
        )
        scaled_Nhw: Tensor = smooth_N1hw[:, 0] * self.config.residual_scale
        return scaled_Nhw.clamp(0.0, 1.0)

    @torch.no_grad()
    def restore(self, faces_BCHW: Tensor, part_masks_BPN: Tensor) -> Tensor:
        """Gives the mapping branch's target [B, C, h, w] of normalized faces."""
        if self.mae is None:
            raise RuntimeError("this detector has no autoencoder")
        if self.config.target == "stitched":
            restored = self.mae.stitched(faces_BCHW, part_masks_BPN, self.config.mask_ratio)
        else:
            restored = self.mae.reconstruct(faces_BCHW)
        return shrink(restored)

    def part_masks(self, landmarks_BKX: Tensor) -> Tensor:
        """Gives the patches of each facial part: bool [B, P, N], on the landmarks' device."""
        mae, name = self.config.mae, self.config.partition
        by_face = (
            patch_masks(points_KX, mae.image_px, mae.patch_px, name)
            for points_KX in landmarks_BKX.cpu().numpy()
        )
        masks = [[by_part[part] for part in PARTITIONS[name]] for by_part in by_face]
        return torch.from_numpy(np.stack(masks)).to(landmarks_BKX.device)

    def _map(self, mapping: MappingNetwork, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> Tensor:
        faces_BCHW = faces_STCHW.flatten(0, 1)
        part_masks_BPN = self.part_masks(landmarks_STKX.flatten(0, 1))
        target_BChw = self.restore(faces_BCHW, part_masks_BPN)
        parts_BPhw = _spread(part_masks_BPN, target_BChw.shape[-1])
        logits_B: Tensor = mapping(faces_BCHW, target_BChw, parts_BPhw)[0]
        return logits_B.reshape(faces_STCHW.shape[:2])


def build(settings: Mapping[str, Any]) -> Mover:
    """Builds the detector from the settings of `MoverConfig`, with random weights."""
    return Mover(from_mapping(MoverConfig, settings))


def _spread(part_masks_BPN: Tensor, side_px: int) -> Tensor:
    """Gives masks of pixels [B, P, h, w] from masks of patches."""
    batch, parts, patches = part_masks_BPN.shape
    grid = round(patches**0.5)
    grids_BPGG = part_masks_BPN.reshape(batch, parts, grid, grid).float()
    return F.interpolate(grids_BPGG, (side_px, side_px)).bool()


def _mean_in_parts(values_Bhw: Tensor, parts_BPhw: Tensor) -> Tensor:
    """Gives the mean of each part [B, P]; 0 for a part that lies outside the crop."""
    total_BP = (values_Bhw[:, None] * parts_BPhw).sum(dim=(2, 3))
    return total_BP / parts_BPhw.sum(dim=(2, 3)).clamp(min=1)
