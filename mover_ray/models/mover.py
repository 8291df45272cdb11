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

import torch
from torch import Tensor
from torch.nn import functional as F

from mover_ray.config import check_at_least, check_choice, check_range, from_mapping
from mover_ray.errors import ConfigError
from mover_ray.faces.parts import PARTITIONS
from mover_ray.models.base import Detector, DetectorOutput, FaceBatch, InputSpec
from mover_ray.models.deltas import KINDS, EncoderDeltas
from mover_ray.models.layers.face_mapping import shrink, spread_parts
from mover_ray.models.layers.fusion import logit_of_mean
from mover_ray.models.layers.losses import label_loss
from mover_ray.models.layers.pixels import absolute_difference, normalize
from mover_ray.models.layers.resnet import NORMS, VARIANTS
from mover_ray.models.mae import Encoder, MAEConfig, MaskedAutoencoder
from mover_ray.models.mover_branches import (
    DeltaFinetuningNetwork,
    FinetuningNetwork,
    MappingNetwork,
    SharedPass,
)
from mover_ray.models.part_masking import locate_parts

FINETUNING = "finetuning"
MAPPING = "mapping"

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
    """Which branches score; the paper's ablations use one alone. Masks need `mapping`, or
    a `finetuning` that is not `full`."""
    finetuning: str = "full"
    """How the finetuning branch departs from the first stage: `full` (paper: an encoder of
    its own), or changes of the frozen encoder's norms (`layernorm`) or attention (`lora`),
    so that one encoder is stored and run."""
    finetuned_blocks: int | None = None
    """How many of the last blocks `layernorm` or `lora` change; the ones before them are
    computed once for both branches. None: all."""
    lora_rank: int = 8
    """Rank of the changes with `lora`."""
    blocks: str = "blocks3"
    """The mapping branch's part of ResNet-18: three residual blocks (`blocks3`, paper) or
    three whole stages (`stages3`)."""
    norm: str = "batch"
    """Normalization of the mapping branch: `batch` (as ResNet) or `group`."""
    target: str = "unmasked"
    """What the mapped face is compared with: `unmasked` (paper: restored from all
    patches) or `stitched` (every part restored from the rest; 6 to 14 times the work
    where one part is hidden at once)."""
    partition: str = "roi"
    """How the face is split into parts: `raster` (DeepfakeMAE), `bands` or `roi` (Mover)."""
    mask_ratio: float = 0.5
    """Share of a part that is hidden at once (paper: 0.5)."""
    parts_at_once: int = 1
    """How many parts `stitched` and the masks hide together: 1 is closest to what the
    autoencoder was trained on, 7 (all of `roi`) is seven times as fast."""
    cls_weight: float = 1.0
    """Weight of the cross-entropy of each branch (ours: 1)."""
    mse_weight: float = 1.0
    """Weight of the mapped face's squared error (ours: 1)."""
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
        check_at_least(self, "parts_at_once", 1)
        check_at_least(self, "cls_weight", 0.0)
        check_at_least(self, "mse_weight", 0.0)
        check_range(self, "residual_scale", 0.1, 100.0)
        check_choice(self, "finetuning", ("full", *KINDS))
        check_at_least(self, "lora_rank", 1)
        if self.finetuned_blocks is not None:
            check_range(self, "finetuned_blocks", 0, self.mae.num_blocks)
        if self.branches not in ((FINETUNING, MAPPING), (FINETUNING,), (MAPPING,)):
            hint = f"choose `{FINETUNING}`, `{MAPPING}` or both in this order"
            raise ConfigError(f"unknown branches: `{list(self.branches)}`", hint=hint)
        if self.mae.image_px % 4:
            raise ConfigError(f"mae.image_px is no multiple of 4: `{self.mae.image_px}`")


class Mover(Detector):
    """Both branches and the frozen autoencoder between them."""

    head_names = (FINETUNING, MAPPING)

    def __init__(self, config: MoverConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = InputSpec(size_px=config.mae.image_px, segment_frames=config.segment_frames)
        self.finetuning: FinetuningNetwork | DeltaFinetuningNetwork | None = None
        self.mapping: MappingNetwork | None = None
        self.mae: MaskedAutoencoder | None = None
        self.mask_kind = None
        shared = config.finetuning != "full"
        if FINETUNING in config.branches and not shared:
            self.finetuning = FinetuningNetwork(config.mae)
        if MAPPING in config.branches:
            num_parts = len(PARTITIONS[config.partition])
            self.mapping = MappingNetwork(config.blocks, config.norm, num_parts)
        if MAPPING in config.branches or shared:
            # The second stage compares faces with what the first stage learned of real
            # ones; training goes on in the finetuning branch's own encoder or changes.
            self.mae = MaskedAutoencoder(config.mae).requires_grad_(requires_grad=False)
            self.mask_kind = "residual"
            if FINETUNING in config.branches and shared:
                self.finetuning = _delta_network(config, self.mae.encoder)

    def forward(self, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> DetectorOutput:
        """Scores segments by the mean of the branches' probabilities.

        Differs: the paper's mapping branch sees one frame of a video; here a segment
        gets the mean of its frames' probabilities.
        """
        self.spec.check(faces_STCHW, landmarks_STKX)
        faces_STCHW = normalize(faces_STCHW)
        shared = self._share(faces_STCHW)
        by_segment, by_frame = {}, {}
        if self.finetuning is not None:
            by_segment[FINETUNING], by_frame[FINETUNING] = self.finetuning(faces_STCHW, shared)
        if self.mapping is not None:
            faces_BCHW, landmarks_BKX = faces_STCHW.flatten(0, 1), landmarks_STKX.flatten(0, 1)
            part_masks_BPN = self.part_masks(landmarks_BKX)
            target_BChw = self.restore(faces_BCHW, part_masks_BPN, shared)
            parts_BPhw = spread_parts(part_masks_BPN, target_BChw.shape[-1])
            logits_B: Tensor = self.mapping(faces_BCHW, target_BChw, parts_BPhw)[0]
            by_frame[MAPPING] = logits_B.reshape(faces_STCHW.shape[:2])
            by_segment[MAPPING] = logit_of_mean(by_frame[MAPPING], dim=1)
        return DetectorOutput(
            logits_S=logit_of_mean(torch.stack(list(by_segment.values())), dim=0),
            frame_logits_ST=logit_of_mean(torch.stack(list(by_frame.values())), dim=0),
            head_scores={name: logits.sigmoid() for name, logits in by_segment.items()},
        )

    def losses(self, batch: FaceBatch) -> dict[str, Tensor]:
        """Gives `finetuning_cls`, `mapping_cls` and `mapping_mse` of the branches there are.

        Source: DeepfakeMAE, section 3.2: the branches share no weight that is trained, so
        that the sum trains each as if alone.
        Differs: every frame of a segment is one sample of the mapping branch.
        """
        terms = {}
        if self.finetuning is not None:
            segments = batch.segments()
            faces_STCHW = normalize(segments.faces)
            logits_S, _ = self.finetuning(faces_STCHW, self._share(faces_STCHW))
            loss = label_loss(logits_S, segments.labels)
            terms["finetuning_cls"] = self.config.cls_weight * loss
        if self.mapping is not None:
            terms.update(self._mapping_losses(self.mapping, batch.singles()))
        return terms

    @torch.no_grad()
    def localize(self, faces_NCHW: Tensor, landmarks_NKX: Tensor) -> Tensor:
        """Gives |face - stitched restoration| [N, h, w], smoothed, scaled and cut at 1."""
        if self.mae is None:
            raise RuntimeError("this detector makes no masks")
        self.spec.check_faces(faces_NCHW, landmarks_NKX)
        faces_NCHW = normalize(faces_NCHW)
        restored_NCHW = self._stitch(self.mae, faces_NCHW, self.part_masks(landmarks_NKX))
        residual_N1hw = shrink(absolute_difference(faces_NCHW, restored_NCHW)[:, None])
        smooth_N1hw: Tensor = F.avg_pool2d(
            residual_N1hw, _SMOOTH, stride=1, padding=_SMOOTH // 2, count_include_pad=False
        )
        scaled_Nhw: Tensor = smooth_N1hw[:, 0] * self.config.residual_scale
        return scaled_Nhw.clamp(0.0, 1.0)

    @torch.no_grad()
    def restore(
        self, faces_BCHW: Tensor, part_masks_BPN: Tensor, shared: SharedPass | None = None
    ) -> Tensor:
        """Gives the mapping branch's target [B, C, h, w] of normalized faces.

        Args:
            faces_BCHW: Normalized faces.
            part_masks_BPN: bool, True = the patch belongs to the part.
            shared: How far the frozen encoder got with these faces, if it began.
        """
        if self.mae is None:
            raise RuntimeError("this detector has no autoencoder")
        if self.config.target == "stitched":
            return shrink(self._stitch(self.mae, faces_BCHW, part_masks_BPN))
        if shared is None:
            return shrink(self.mae.reconstruct(faces_BCHW))
        return shrink(self.mae.decode(shared.finish()))

    def part_masks(self, landmarks_BKX: Tensor) -> Tensor:
        """Gives the patches of each facial part: bool [B, P, N], on the landmarks' device."""
        mae = self.config.mae
        return locate_parts(landmarks_BKX, mae.image_px, mae.patch_px, self.config.partition)

    def _mapping_losses(self, mapping: MappingNetwork, batch: FaceBatch) -> dict[str, Tensor]:
        faces_BCHW = normalize(batch.faces)
        part_masks_BPN = self.part_masks(batch.landmarks)
        target_BChw = batch.target
        if target_BChw is None:
            target_BChw = self.restore(faces_BCHW, part_masks_BPN)
        target_BChw = target_BChw.float()
        parts_BPhw = spread_parts(part_masks_BPN, target_BChw.shape[-1])
        logits_B, mapped_BChw = mapping(faces_BCHW, target_BChw, parts_BPhw)
        error = F.mse_loss(mapped_BChw.float(), target_BChw)
        return {
            "mapping_cls": self.config.cls_weight * label_loss(logits_B, batch.labels),
            "mapping_mse": self.config.mse_weight * error,
        }

    def _share(self, faces_STCHW: Tensor) -> SharedPass | None:
        """Runs what both branches need of the frozen encoder, if they share it."""
        if self.mae is None or not isinstance(self.finetuning, DeltaFinetuningNetwork):
            return None
        encoder, num_blocks = self.mae.encoder, self.finetuning.deltas.first
        tokens_BLD = encoder.start(faces_STCHW.flatten(0, 1), num_blocks)
        return SharedPass(encoder=encoder, tokens_BLD=tokens_BLD, num_blocks=num_blocks)

    def _stitch(self, mae: MaskedAutoencoder, faces_BCHW: Tensor, parts_BPN: Tensor) -> Tensor:
        config = self.config
        return mae.stitched(faces_BCHW, parts_BPN, config.mask_ratio, config.parts_at_once)


def build(settings: Mapping[str, Any]) -> Mover:
    """Builds the detector from the settings of `MoverConfig`, with random weights."""
    return Mover(from_mapping(MoverConfig, settings))


def _delta_network(config: MoverConfig, encoder: Encoder) -> DeltaFinetuningNetwork:
    deltas = EncoderDeltas(encoder, config.finetuning, config.finetuned_blocks, config.lora_rank)
    return DeltaFinetuningNetwork(deltas, encoder.width)
