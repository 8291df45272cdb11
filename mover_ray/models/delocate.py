"""Delocate: tells manipulated faces and shows where, wherever the traces lie.

Source: arXiv 2401.13516. Its recovering stage is `mae` with the parts of `roi`; this is
its localization stage.

Shapes:
    S: segments   T: frames of a segment   B: faces, S * T of them   P: facial parts
    L: tokens, the class token first   N: patches   D: width of the encoder
    C: colours   H, W: pixels of a face   h, w: pixels of a mapped face, a quarter of H, W
    K: landmarks   X: x and y   F: features
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
from mover_ray.models.layers.classifier import Classifier
from mover_ray.models.layers.face_mapping import JoinMaps, mean_in_parts, shrink, spread_parts
from mover_ray.models.layers.fusion import logit_of_mean
from mover_ray.models.layers.losses import label_loss, mask_losses
from mover_ray.models.layers.mask_decoder import CHANNELS, MaskDecoder
from mover_ray.models.layers.pixels import normalize
from mover_ray.models.layers.resnet import NORMS, VARIANTS, ResNetTrunk
from mover_ray.models.mae import ENCODERS, MAEConfig, MaskedAutoencoder
from mover_ray.models.part_masking import locate_parts

CLASSIFICATION = "classification"
LOCALIZATION = "localization"

#: Side of the box over which the localization head averages a mask before it takes the
#: highest value: an eighth of the mask's side, about a mouth.
_PEAK = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class DelocateConfig:
    """The detector and its choices where the paper is silent."""

    mae: MAEConfig = field(default_factory=MAEConfig)
    """The autoencoder of the recovering stage."""
    segment_frames: int = 5
    """Frames of one segment; frames are scored one by one, a segment has their mean."""
    mapping: bool = True
    """Whether faces are mapped onto their recovery (False: the paper's ablation)."""
    localization: bool = True
    """Whether masks are predicted (False: the paper's ablation)."""
    recovering: bool = True
    """Whether the recovering stage takes part: its encoder's tokens, and the target of the
    mapped face. Without it (the paper's ablation) the mapped face has no target of its own
    and is trained through what is made of it."""
    finetuning: str = "none"
    """How the recovering stage's encoder departs from what it learned: not at all (`none`),
    or by changes of its norms (`layernorm`) or attention (`lora`). The recovery, and with
    it the mapped face's target, is always that of the frozen one."""
    finetuned_blocks: int | None = None
    """How many of the last blocks `layernorm` or `lora` change. None: all."""
    lora_rank: int = 8
    """Rank of the changes with `lora`."""
    blocks: str = "stages3"
    """Part of ResNet-18 that looks at the face: three whole stages (`stages3`) or three
    residual blocks (`blocks3`). The paper says "modified"."""
    norm: str = "batch"
    """Normalization of all convolutions: `batch` (as ResNet) or `group`."""
    target: str = "unmasked"
    """What the recovery is: `unmasked` (restored from all patches) or `stitched` (every part
    restored from the rest)."""
    partition: str = "roi"
    """How the face is split into parts: `raster`, `bands` or `roi` (paper)."""
    mask_ratio: float = 0.5
    """Share of a part that `stitched` hides at once."""
    parts_at_once: int = 1
    """How many parts `stitched` hides together; more is faster."""
    cls_weight: float = 1.0
    """Weight of the classifier's cross-entropy (ours: 1)."""
    mse_weight: float = 1.0
    """Weight of the mapped face's squared error (ours: 1)."""
    mask_weight: float = 1.0
    """Weight of the mask's cross-entropy and Dice loss (ours: 1)."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        for name in ("segment_frames", "lora_rank", "parts_at_once"):
            check_at_least(self, name, 1)
        for name in ("cls_weight", "mse_weight", "mask_weight"):
            check_at_least(self, name, 0.0)
        check_choice(self, "blocks", tuple(VARIANTS))
        check_choice(self, "norm", tuple(NORMS))
        check_choice(self, "target", ("unmasked", "stitched"))
        check_choice(self, "partition", tuple(PARTITIONS))
        check_choice(self, "finetuning", ("none", *KINDS))
        check_range(self, "mask_ratio", 0.05, 0.95)
        if self.finetuned_blocks is not None:
            check_range(self, "finetuned_blocks", 0, ENCODERS[self.mae.size].depth)
        if self.finetuning != "none" and not self.recovering:
            hint = "set `finetuning` to `none`, or `recovering` to true"
            raise ConfigError(f"there is no encoder to finetune: `{self.finetuning}`", hint=hint)
        if self.mae.image_px % 4:
            raise ConfigError(f"mae.image_px is no multiple of 4: `{self.mae.image_px}`")


@dataclass(frozen=True, slots=True)
class _Findings:
    """What the networks say of single faces."""

    logits_B: Tensor
    mapped_BChw: Tensor | None
    mask_logits_BHW: Tensor | None


class Delocate(Detector):
    """Mapping module, mask decoder and classifier beside the recovering autoencoder.

    One pass of the encoder a face; its decoder runs in training alone.
    """

    head_names = (CLASSIFICATION, LOCALIZATION)

    def __init__(self, config: DelocateConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = InputSpec(size_px=config.mae.image_px, segment_frames=config.segment_frames)
        self.mask_kind = "trained" if config.localization else None
        self.mae: MaskedAutoencoder | None = None
        self.deltas: EncoderDeltas | None = None
        self.mapping: JoinMaps | None = None
        self.mask_decoder: MaskDecoder | None = None
        self.trunk = ResNetTrunk(config.blocks, config.norm)
        features = self.trunk.channels[-1]
        token_width = ENCODERS[config.mae.size].width if config.recovering else None
        if token_width is not None:
            self.mae = MaskedAutoencoder(config.mae).requires_grad_(requires_grad=False)
            features += token_width
            if config.finetuning != "none":
                self.deltas = EncoderDeltas(
                    self.mae.encoder, config.finetuning, config.finetuned_blocks, config.lora_rank
                )
        if config.mapping:
            self.mapping = JoinMaps(self.trunk.channels, config.norm)
            features += len(PARTITIONS[config.partition])
        if config.localization:
            self.mask_decoder = MaskDecoder(
                self.trunk.channels, token_width, config.norm, difference=config.mapping
            )
            features += 2 * CHANNELS
        self.classifier = Classifier(features, 1)

    def forward(self, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> DetectorOutput:
        """Scores segments by the mean of their frames' probabilities."""
        self.spec.check(faces_STCHW, landmarks_STKX)
        segments = faces_STCHW.shape[:2]
        found = self._find(normalize(faces_STCHW.flatten(0, 1)), landmarks_STKX.flatten(0, 1))
        frame_logits_ST = found.logits_B.reshape(segments)
        logits_S = logit_of_mean(frame_logits_ST, dim=1)
        heads, masks_STHW = {CLASSIFICATION: logits_S.sigmoid()}, None
        if found.mask_logits_BHW is not None:
            masks_BHW = found.mask_logits_BHW.sigmoid()
            masks_STHW = masks_BHW.reshape(*segments, *masks_BHW.shape[1:])
            heads[LOCALIZATION] = _peak(masks_BHW).reshape(segments).mean(dim=1)
        return DetectorOutput(
            logits_S=logits_S,
            frame_logits_ST=frame_logits_ST,
            head_scores=heads,
            masks_SThw=masks_STHW,
        )

    def losses(self, batch: FaceBatch) -> dict[str, Tensor]:
        """Gives `cls`, `mapping_mse`, `mask_bce` and `mask_dice`, as far as there are such parts.

        Source: Delocate optimizes classification, mapping and localization together.
        """
        batch, config = batch.singles(), self.config
        faces_BCHW = normalize(batch.faces)
        found = self._find(faces_BCHW, batch.landmarks)
        terms = {"cls": config.cls_weight * label_loss(found.logits_B, batch.labels)}
        if found.mapped_BChw is not None and self.mae is not None:
            target_BChw = batch.target
            if target_BChw is None:
                target_BChw = self.recover(faces_BCHW, batch.landmarks)
            error = F.mse_loss(found.mapped_BChw.float(), target_BChw.float())
            terms["mapping_mse"] = config.mse_weight * error
        if found.mask_logits_BHW is not None:
            cross_entropy, dice = mask_losses(
                found.mask_logits_BHW, batch.labels, batch.masks, batch.has_mask
            )
            terms["mask_bce"] = config.mask_weight * cross_entropy
            terms["mask_dice"] = config.mask_weight * dice
        return terms

    @torch.no_grad()
    def localize(self, faces_NCHW: Tensor, landmarks_NKX: Tensor) -> Tensor:
        """Gives the predicted masks [N, H, W]."""
        self.spec.check_faces(faces_NCHW, landmarks_NKX)
        found = self._find(normalize(faces_NCHW), landmarks_NKX)
        if found.mask_logits_BHW is None:
            raise RuntimeError("this detector makes no masks")
        return found.mask_logits_BHW.sigmoid()

    @torch.no_grad()
    def recover(self, faces_BCHW: Tensor, landmarks_BKX: Tensor) -> Tensor:
        """Gives the mapped face's target [B, C, h, w]: normalized faces, restored and shrunk."""
        if self.mae is None:
            raise RuntimeError("this detector has no recovering stage")
        config = self.config
        if config.target == "unmasked":
            return shrink(self.mae.reconstruct(faces_BCHW))
        parts_BPN = self._part_masks(landmarks_BKX)
        return shrink(
            self.mae.stitched(faces_BCHW, parts_BPN, config.mask_ratio, config.parts_at_once)
        )

    def _find(self, faces_BCHW: Tensor, landmarks_BKX: Tensor) -> _Findings:
        maps = self.trunk(faces_BCHW)
        features = [maps[-1].mean(dim=(2, 3))]
        tokens_BDGG = mapped_BChw = difference_BChw = mask_logits_BHW = None
        if self.mae is not None:
            tokens_BDGG = self._tokens(self.mae, faces_BCHW)
            features.append(tokens_BDGG.mean(dim=(2, 3)))
        if self.mapping is not None:
            mapped_BChw = self.mapping(maps)
            difference_BChw = (shrink(faces_BCHW) - mapped_BChw).abs()
            parts_BPhw = spread_parts(self._part_masks(landmarks_BKX), mapped_BChw.shape[-1])
            features.append(mean_in_parts(difference_BChw.mean(dim=1), parts_BPhw))
        if self.mask_decoder is not None:
            logits_Bhw, decoded = self.mask_decoder(maps, tokens_BDGG, difference_BChw)
            features += [decoded.mean(dim=(2, 3)), decoded.amax(dim=(2, 3))]
            mask_logits_BHW = _enlarge(logits_Bhw.float(), faces_BCHW.shape[-1])
        logits_B = self.classifier(torch.cat(features, dim=1)).squeeze(1).float()
        return _Findings(logits_B, mapped_BChw, mask_logits_BHW)

    def _tokens(self, mae: MaskedAutoencoder, faces_BCHW: Tensor) -> Tensor:
        """Gives the encoder's tokens of the patches, laid out over the face."""
        if self.deltas is None:
            latent_BLD: Tensor = mae.encoder(faces_BCHW)
        else:
            early_BLD = mae.encoder.start(faces_BCHW, self.deltas.first)
            latent_BLD = self.deltas(mae.encoder, early_BLD)
        grid = self.config.mae.grid
        batch, _, width = latent_BLD.shape
        return latent_BLD[:, 1:].transpose(1, 2).reshape(batch, width, grid, grid)

    def _part_masks(self, landmarks_BKX: Tensor) -> Tensor:
        mae = self.config.mae
        return locate_parts(landmarks_BKX, mae.image_px, mae.patch_px, self.config.partition)


def build(settings: Mapping[str, Any]) -> Delocate:
    """Builds the detector from the settings of `DelocateConfig`, with random weights."""
    return Delocate(from_mapping(DelocateConfig, settings))


def _enlarge(masks_Bhw: Tensor, side_px: int) -> Tensor:
    return F.interpolate(masks_Bhw[:, None], (side_px, side_px), mode="bilinear")[:, 0]


def _peak(masks_BHW: Tensor) -> Tensor:
    """Gives the highest value [B] of each mask that more than a few pixels have."""
    small_B1hw = shrink(masks_BHW[:, None])
    smooth_B1hw = F.avg_pool2d(small_B1hw, min(_PEAK, small_B1hw.shape[-1]), stride=1)
    return smooth_B1hw.amax(dim=(1, 2, 3))
