"""Masked autoencoder of faces: hides patches of a face and restores them.

Source: DeepfakeMAE (arXiv 2303.01740), section 3.1; MAE (arXiv 2111.06377).
Differs: pixels are not normalized patch by patch, because the second stage compares
real pixels (the paper does not say).

Shapes:
    B: images   N: patches   K: patches that enter the encoder   P: facial parts
    D: width of the encoder   E: width of the decoder   V: values of a patch
    C: colours   H, W: pixels
    mask_BN: True = hidden from the encoder
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mover_ray.config import check_choice, check_range
from mover_ray.errors import ConfigError
from mover_ray.models.layers.pixels import patchify, unpatchify
from mover_ray.models.layers.vit import (
    NORM_EPS,
    Block,
    PatchEmbed,
    Shape,
    initialize,
    sincos_positions,
)
from mover_ray.models.part_masking import complementary_folds

ENCODERS: dict[str, Shape] = {
    "tiny": Shape(width=192, depth=12, heads=3),
    "small": Shape(width=384, depth=12, heads=6),
    "base": Shape(width=768, depth=12, heads=12),
    "large": Shape(width=1024, depth=24, heads=16),
}
_WIDE_DECODER = Shape(width=512, depth=8, heads=16)
_NARROW_DECODER = Shape(width=256, depth=4, heads=8)
DECODERS: dict[str, Shape] = {
    "tiny": _NARROW_DECODER,
    "small": _NARROW_DECODER,
    "base": _WIDE_DECODER,
    "large": _WIDE_DECODER,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MAEConfig:
    """Size of the autoencoder and of what it sees."""

    size: str = "tiny"
    """ViT-`tiny`, `small`, `base` (paper) or `large`; the decoder's size follows."""
    image_px: int = 224
    """Side of the face crop (paper: 224)."""
    patch_px: int = 16
    """Side of a patch (paper: 16); 14 fits the public weights of some backbones."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_choice(self, "size", tuple(ENCODERS))
        check_range(self, "image_px", 32, 1024)
        check_range(self, "patch_px", 4, 64)
        if self.image_px % self.patch_px:
            raise ConfigError(
                f"image_px is no multiple of patch_px: `{self.image_px}` and `{self.patch_px}`"
            )

    @property
    def grid(self) -> int:
        """Patches of a side."""
        return self.image_px // self.patch_px


class Encoder(nn.Module):
    """Vision transformer over all patches of a face or over the visible ones."""

    def __init__(self, config: MAEConfig) -> None:
        super().__init__()
        shape = ENCODERS[config.size]
        self.patch_embed = PatchEmbed(config.patch_px, shape.width)
        self.cls_token = nn.Parameter(torch.empty(1, 1, shape.width))
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, eps=NORM_EPS)
        positions_ND = sincos_positions(config.grid, shape.width)
        self.register_buffer("pos_embed", positions_ND, persistent=False)
        self.width = shape.width
        initialize(self)
        nn.init.normal_(self.cls_token, std=0.02)

    def embed(self, images_BCHW: Tensor) -> Tensor:
        """Gives tokens [B, N, D] that carry their positions."""
        tokens_BND: Tensor = self.patch_embed(images_BCHW)
        return tokens_BND + self.get_buffer("pos_embed")

    def encode(self, tokens_BKD: Tensor, visible_BK: Tensor | None = None) -> Tensor:
        """Runs the blocks over a class token and the given tokens.

        Args:
            tokens_BKD: Tokens from `embed`, all or some of them.
            visible_BK: bool; a token at False is seen by no other. None: all are seen.

        Returns:
            Normalized tokens [B, 1 + K, D], the class token first.
        """
        cls_B1D = self.cls_token.expand(len(tokens_BKD), -1, -1).to(tokens_BKD.dtype)
        tokens = torch.cat([cls_B1D, tokens_BKD], dim=1)
        attended = None if visible_BK is None else nn.functional.pad(visible_BK, (1, 0), value=True)
        for block in self.blocks:
            tokens = block(tokens, attended)
        latent_BLD: Tensor = self.norm(tokens)
        return latent_BLD

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Encodes every patch: tokens [B, 1 + N, D], the class token first."""
        return self.encode(self.embed(images_BCHW))


class Decoder(nn.Module):
    """Transformer that turns encoded patches and mask tokens into pixels."""

    def __init__(self, config: MAEConfig) -> None:
        super().__init__()
        shape = DECODERS[config.size]
        self.embed = nn.Linear(ENCODERS[config.size].width, shape.width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, shape.width))
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, eps=NORM_EPS)
        self.pred = nn.Linear(shape.width, 3 * config.patch_px**2)
        positions_NE = sincos_positions(config.grid, shape.width)
        self.register_buffer("pos_embed", positions_NE, persistent=False)
        initialize(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, latent_BLD: Tensor, kept_BK: Tensor, visible_BK: Tensor) -> Tensor:
        """Predicts the pixels of all patches.

        Args:
            latent_BLD: What `Encoder.encode` gave; L = 1 + K.
            kept_BK: Which patch each of the K tokens is.
            visible_BK: bool; a token at False is replaced by the mask token.

        Returns:
            Predicted patches [B, N, V].
        """
        tokens = self.embed(latent_BLD)
        cls_B1E, kept_BKE = tokens[:, :1], tokens[:, 1:]
        kept_BKE = torch.where(visible_BK[..., None], kept_BKE, self.mask_token.to(tokens.dtype))
        positions_NE = self.get_buffer("pos_embed")
        hidden_BNE = self.mask_token.to(tokens.dtype).expand(len(tokens), len(positions_NE), -1)
        index_BKE = kept_BK[..., None].expand_as(kept_BKE)
        patches_BNE = hidden_BNE.scatter(1, index_BKE, kept_BKE) + positions_NE
        tokens = torch.cat([cls_B1E.to(patches_BNE.dtype), patches_BNE], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        predicted_BNV: Tensor = self.pred(self.norm(tokens[:, 1:]))
        return predicted_BNV


class MaskedAutoencoder(nn.Module):
    """Restores hidden patches of normalized faces from the visible ones."""

    def __init__(self, config: MAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def forward(self, images_BCHW: Tensor, mask_BN: Tensor, num_kept: int | None = None) -> Tensor:
        """Gives the loss of pretraining: mean squared error over hidden patches.

        Args:
            images_BCHW: Normalized faces.
            mask_BN: bool, True = hidden; at least one in the batch.
            num_kept: See `predict`.
        """
        predicted_BNV = self.predict(images_BCHW, mask_BN, num_kept)
        target_BNV = patchify(images_BCHW, self.config.patch_px)
        error_BN = (predicted_BNV - target_BNV).square().mean(dim=2)
        return (error_BN * mask_BN).sum() / mask_BN.sum()

    def reconstruct(self, images_BCHW: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """Predicts every pixel [B, C, H, W], of the visible patches too.

        Args:
            images_BCHW: Normalized faces.
            mask_BN: bool, True = hidden. None: nothing is hidden.
        """
        predicted_BNV = self.predict(images_BCHW, mask_BN)
        return unpatchify(predicted_BNV, self.config.patch_px)

    def stitched(self, images_BCHW: Tensor, part_masks_BPN: Tensor, mask_ratio: float) -> Tensor:
        """Restores every part from the rest of the face and joins the restored patches.

        A patch of several parts gets the mean of its predictions, a patch of none
        keeps the face's own pixels.

        Differs: the paper feeds the whole face. A decoder whose loss saw hidden
        patches only predicts visible ones poorly, so here each patch is hidden once.

        Args:
            images_BCHW: Normalized faces.
            part_masks_BPN: bool, True = the patch belongs to the part.
            mask_ratio: Share of a part that is hidden at once; see `complementary_folds`.

        Returns:
            Normalized faces [B, C, H, W].
        """
        hidden_BQN = complementary_folds(part_masks_BPN, mask_ratio).flatten(1, 2)
        tokens_BND = self.encoder.embed(images_BCHW)
        own_BNV = patchify(images_BCHW, self.config.patch_px)
        total_BNV = torch.zeros_like(own_BNV)
        for mask_BN in hidden_BQN.unbind(1):
            total_BNV += self._predict(tokens_BND, mask_BN) * mask_BN[..., None]
        count_BN1 = hidden_BQN.sum(dim=1)[..., None]
        joined_BNV = torch.where(count_BN1 > 0, total_BNV / count_BN1.clamp(min=1), own_BNV)
        return unpatchify(joined_BNV, self.config.patch_px)

    def predict(
        self, images_BCHW: Tensor, mask_BN: Tensor | None = None, num_kept: int | None = None
    ) -> Tensor:
        """Predicts the pixels [B, N, V] of all patches.

        Args:
            images_BCHW: Normalized faces.
            mask_BN: bool, True = hidden. None: nothing is hidden.
            num_kept: K, how many patches of each image enter the encoder, the visible
                ones first; not less than the largest number of visible patches. It
                only saves time: hidden patches among them are seen by none. None: all
                enter, so that the result for an image does not depend on its neighbours.
        """
        return self._predict(self.encoder.embed(images_BCHW), mask_BN, num_kept)

    def _predict(
        self, tokens_BND: Tensor, mask_BN: Tensor | None, num_kept: int | None = None
    ) -> Tensor:
        batch, num_patches, _ = tokens_BND.shape
        if mask_BN is None:
            every_BN = torch.arange(num_patches, device=tokens_BND.device).expand(batch, -1)
            all_BN = torch.ones_like(every_BN, dtype=torch.bool)
            return self._decode(self.encoder.encode(tokens_BND), every_BN, all_BN)
        kept_BK = mask_BN.byte().argsort(dim=1, stable=True)[:, :num_kept]
        visible_BK = ~mask_BN.gather(1, kept_BK)
        kept_BKD = tokens_BND.gather(1, kept_BK[..., None].expand(-1, -1, tokens_BND.shape[2]))
        return self._decode(self.encoder.encode(kept_BKD, visible_BK), kept_BK, visible_BK)

    def _decode(self, latent_BLD: Tensor, kept_BK: Tensor, visible_BK: Tensor) -> Tensor:
        predicted_BNV: Tensor = self.decoder(latent_BLD, kept_BK, visible_BK)
        return predicted_BNV.float()
