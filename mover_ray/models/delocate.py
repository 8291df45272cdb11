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
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from mover_ray.config import check_at_least, check_choice, check_range, from_mapping
from mover_ray.errors import ConfigError
from mover_ray.faces.parts import PARTITIONS
from mover_ray.models.base import Detector, DetectorOutput, FaceBatch, InputSpec
from mover_ray.models.deltas import KINDS, EncoderDeltas
from mover_ray.models.layers import token_decoder
from mover_ray.models.layers.classifier import Classifier
from mover_ray.models.layers.face_mapping import JoinMaps, mean_in_parts, shrink, spread_parts
from mover_ray.models.layers.fusion import logit_of_mean
from mover_ray.models.layers.losses import label_loss, mask_losses
from mover_ray.models.layers.mask_decoder import CHANNELS, MaskDecoder
from mover_ray.models.layers.pixels import normalize
from mover_ray.models.layers.resnet import NORMS, VARIANTS, ResNetTrunk
from mover_ray.models.layers.token_decoder import TokenDecoder
from mover_ray.models.layers.vit import Block, unchanged
from mover_ray.models.mae import ENCODERS, Encoder, MAEConfig, MaskedAutoencoder
from mover_ray.models.part_masking import locate_parts

CLASSIFICATION = "classification"
LOCALIZATION = "localization"

_UNET, _TOKENS = "unet", "tokens"
_DECODERS = (_UNET, _TOKENS)

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
    decoder: str = "unet"
    """What makes masks: `unet`, over the maps of ResNet, or `tokens`, which compares the
    patches of the face by attention and needs neither ResNet nor mapping. Ours: the paper
    has an encoder-decoder and does not draw it."""
    decoder_depth: int = 2
    """Transformer blocks of `tokens`."""
    token_blocks: tuple[int, ...] = ()
    """Blocks of the encoder, counted from 1, whose tokens are looked at together. Empty:
    those of the last one, normalized. Ours: traces of blending fade in the last blocks
    (measured: the preset `mover-s`)."""
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
        check_choice(self, "decoder", _DECODERS)
        check_at_least(self, "decoder_depth", 1)
        if self.token_blocks and max(self.token_blocks) != self.mae.num_blocks:
            hint = "set `mae.depth` to the last of them: blocks behind it would be idle"
            raise ConfigError(f"the encoder ends elsewhere: `{self.token_blocks}`", hint=hint)
        if min(self.token_blocks, default=1) < 1:
            raise ConfigError(f"blocks count from 1: `{self.token_blocks}`")
        if self.decoder == _TOKENS and (
            self.mapping or not (self.localization and self.recovering)
        ):
            hint = "set `mapping` to false, `localization` and `recovering` to true"
            raise ConfigError("the decoder `tokens` stands on the encoder alone", hint=hint)
        check_range(self, "mask_ratio", 0.05, 0.95)
        if self.finetuned_blocks is not None:
            check_range(self, "finetuned_blocks", 0, self.mae.num_blocks)
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
        self.encoder: Encoder | None = None
        self.deltas: EncoderDeltas | None = None
        self.mapping: JoinMaps | None = None
        self.trunk: ResNetTrunk | None = None
        self.mask_decoder: MaskDecoder | TokenDecoder | None = None
        self.classifier = Classifier(self._build(config), 1)

    def _build(self, config: DelocateConfig) -> int:
        """Builds what the config asks for; gives the number of the classifier's features."""
        token_width = self._build_encoder(config) if config.recovering else None
        if config.decoder == _TOKENS:
            sets = max(1, len(config.token_blocks))
            width = ENCODERS[config.mae.size].width
            self.mask_decoder = TokenDecoder(width, sets, config.mae.grid, config.decoder_depth)
            return 2 * token_decoder.WIDTH
        self.trunk = ResNetTrunk(config.blocks, config.norm)
        features = self.trunk.channels[-1] + (token_width or 0)
        if config.mapping:
            self.mapping = JoinMaps(self.trunk.channels, config.norm)
            features += len(PARTITIONS[config.partition])
        if config.localization:
            self.mask_decoder = MaskDecoder(
                self.trunk.channels, token_width, config.norm, difference=config.mapping
            )
            features += 2 * CHANNELS
        return features

    def _build_encoder(self, config: DelocateConfig) -> int:
        """Builds the encoder, with its decoder where there is a recovery; gives its width."""
        if config.mapping:
            self.mae = MaskedAutoencoder(config.mae).requires_grad_(requires_grad=False)
            encoder = self.mae.encoder
        else:
            self.encoder = encoder = Encoder(config.mae).requires_grad_(requires_grad=False)
        if config.finetuning != "none":
            self.deltas = EncoderDeltas(
                encoder, config.finetuning, config.finetuned_blocks, config.lora_rank
            )
            # The last norm stands behind the tokens of single blocks.
            self.deltas.norm.requires_grad_(not config.token_blocks)
        return ENCODERS[config.mae.size].width * max(1, len(config.token_blocks))

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
        encoder = self.encoder if self.mae is None else self.mae.encoder
        tokens_BDGG = None if encoder is None else self._tokens(encoder, faces_BCHW)
        if isinstance(self.mask_decoder, TokenDecoder) and tokens_BDGG is not None:
            return self._find_in_tokens(self.mask_decoder, tokens_BDGG, faces_BCHW.shape[-1])
        return self._find_in_maps(faces_BCHW, landmarks_BKX, tokens_BDGG)

    def _find_in_tokens(
        self, decoder: TokenDecoder, tokens_BDGG: Tensor, side_px: int
    ) -> _Findings:
        logits_BGG, decoded_BFGG = decoder(tokens_BDGG)
        features_BF = torch.cat([decoded_BFGG.mean(dim=(2, 3)), decoded_BFGG.amax(dim=(2, 3))], 1)
        logits_B = self.classifier(features_BF).squeeze(1).float()
        return _Findings(logits_B, None, _enlarge(logits_BGG.float(), side_px))

    def _find_in_maps(
        self, faces_BCHW: Tensor, landmarks_BKX: Tensor, tokens_BDGG: Tensor | None
    ) -> _Findings:
        if self.trunk is None:
            raise RuntimeError("this detector has no maps")
        maps = self.trunk(faces_BCHW)
        features = [maps[-1].mean(dim=(2, 3))]
        mapped_BChw = difference_BChw = mask_logits_BHW = None
        if tokens_BDGG is not None:
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

    def _tokens(self, encoder: Encoder, faces_BCHW: Tensor) -> Tensor:
        """Gives the encoder's tokens of the patches, laid out over the face."""
        sets = self._token_sets(encoder, faces_BCHW)
        tokens_BLD = torch.cat([one[:, 1:] for one in sets], dim=2)
        grid = self.config.mae.grid
        batch, _, width = tokens_BLD.shape
        return tokens_BLD.transpose(1, 2).reshape(batch, width, grid, grid)

    def _token_sets(self, encoder: Encoder, faces_BCHW: Tensor) -> list[Tensor]:
        """Gives tokens [B, L, D] of the chosen blocks, or of the last one, normalized."""
        chosen = self.config.token_blocks
        if not chosen:
            if self.deltas is None:
                return [encoder(faces_BCHW)]
            return [self.deltas(encoder, encoder.start(faces_BCHW, self.deltas.first))]
        tokens_BLD, sets = encoder.start(faces_BCHW, 0), {}
        for number in range(max(chosen)):
            block = cast("Block", encoder.blocks[number])
            change = unchanged if self.deltas is None else self.deltas.change(number)
            tokens_BLD = sets[number + 1] = block(tokens_BLD, change=change)
        return [sets[number] for number in chosen]

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
