"""Masked autoencoder of faces: hides patches of a face and restores them.

Source: DeepfakeMAE (arXiv 2303.01740), section 3.1; MAE (arXiv 2111.06377).
Differs: pixels are not normalized patch by patch, because the second stage compares
real pixels (the paper does not say).

Shapes:
    B: images   N: patches   K: patches that enter the encoder   P: facial parts   Q: folds
    D: width of the encoder   E: width of the decoder   V: values of a patch
    C: colours   H, W: pixels
    mask_BN: True = hidden from the encoder
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.config import check_choice, check_range
from mover_ray.errors import ConfigError
from mover_ray.models.base import FaceBatch
from mover_ray.models.layers.pixels import normalize, patchify, unpatchify
from mover_ray.models.layers.vit import (
    NORM_EPS,
    Block,
    PatchEmbed,
    Shape,
    initialize,
    sincos_positions,
)
from mover_ray.models.part_masking import complementary_folds, keep_count

ENCODERS: dict[str, Shape] = {
    "tiny": Shape(width=192, depth=12, heads=3),
    "small": Shape(width=384, depth=12, heads=6),
    "base": Shape(width=768, depth=12, heads=12),
    "large": Shape(width=1024, depth=24, heads=16),
}
#: Images that `stitched` restores in one pass: more is no faster and takes more memory.
_MAX_STITCHED = 64
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
    depth: int | None = None
    """Blocks of the encoder. None: as many as its size has (paper). Where there are fewer,
    the first ones of public weights are taken."""
    image_px: int = 224
    """Side of the face crop (paper: 224)."""
    patch_px: int = 16
    """Side of a patch (paper: 16); 14 fits the weights of DINOv2."""
    positions: str = "sincos"
    """Positions in the encoder: `sincos` (MAE: fixed) or `learned` (most public weights)."""
    layer_scale: bool = False
    """Whether the encoder scales what each block adds, as DINOv2 does."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_choice(self, "size", tuple(ENCODERS))
        check_range(self, "image_px", 32, 1024)
        check_range(self, "patch_px", 4, 64)
        check_choice(self, "positions", ("sincos", "learned"))
        if self.depth is not None:
            check_range(self, "depth", 1, ENCODERS[self.size].depth)
        if self.image_px % self.patch_px:
            raise ConfigError(
                f"image_px is no multiple of patch_px: `{self.image_px}` and `{self.patch_px}`"
            )

    @property
    def grid(self) -> int:
        """Patches of a side."""
        return self.image_px // self.patch_px

    @property
    def num_blocks(self) -> int:
        """Blocks of the encoder."""
        return ENCODERS[self.size].depth if self.depth is None else self.depth


class Encoder(nn.Module):
    """Vision transformer over all patches of a face or over the visible ones.

    Its names of weights are timm's; `pretrained` fills it from public ones.
    """

    def __init__(self, config: MAEConfig) -> None:
        super().__init__()
        shape = ENCODERS[config.size]
        self.patch_embed = PatchEmbed(config.patch_px, shape.width)
        self.cls_token = nn.Parameter(torch.empty(1, 1, shape.width))
        self.blocks = nn.ModuleList(
            Block(shape.width, shape.heads, layer_scale=config.layer_scale)
            for _ in range(config.num_blocks)
        )
        self.norm = nn.LayerNorm(shape.width, eps=NORM_EPS)
        # A row of zeros for the class token, as in MAE.
        positions_1LD = F.pad(sincos_positions(config.grid, shape.width), (0, 0, 1, 0))[None]
        if config.positions == "learned":
            self.pos_embed = nn.Parameter(positions_1LD)
        else:
            self.register_buffer("pos_embed", positions_1LD, persistent=False)
        self.width = shape.width
        initialize(self)
        nn.init.normal_(self.cls_token, std=0.02)

    def embed(self, images_BCHW: Tensor) -> Tensor:
        """Gives tokens [B, N, D] that carry their positions."""
        tokens_BND: Tensor = self.patch_embed(images_BCHW)
        return tokens_BND + self.pos_embed[:, 1:]

    def prepend_class(self, tokens_BKD: Tensor) -> Tensor:
        """Gives tokens [B, 1 + K, D], the class token first."""
        cls_11D = self.cls_token + self.pos_embed[:, :1]
        cls_B1D = cls_11D.expand(len(tokens_BKD), -1, -1).to(tokens_BKD.dtype)
        return torch.cat([cls_B1D, tokens_BKD], dim=1)

    def encode(self, tokens_BKD: Tensor, visible_BK: Tensor | None = None) -> Tensor:
        """Runs the blocks over a class token and the given tokens.

        Args:
            tokens_BKD: Tokens from `embed`, all or some of them.
            visible_BK: bool; a token at False is seen by no other. None: all are seen.

        Returns:
            Normalized tokens [B, 1 + K, D], the class token first.
        """
        tokens = self.prepend_class(tokens_BKD)
        attended = None if visible_BK is None else F.pad(visible_BK, (1, 0), value=True)
        for block in self.blocks:
            tokens = block(tokens, attended)
        latent_BLD: Tensor = self.norm(tokens)
        return latent_BLD

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Encodes every patch: tokens [B, 1 + N, D], the class token first."""
        return self.encode(self.embed(images_BCHW))

    def start(self, images_BCHW: Tensor, num_blocks: int) -> Tensor:
        """Gives all tokens [B, 1 + N, D] after the first blocks, not normalized."""
        tokens_BLD = self.prepend_class(self.embed(images_BCHW))
        for block in self.blocks[:num_blocks]:
            tokens_BLD = block(tokens_BLD)
        return tokens_BLD

    def finish(self, tokens_BLD: Tensor, num_blocks: int) -> Tensor:
        """Gives what `forward` gives, from what `start` gave with as many blocks."""
        for block in self.blocks[num_blocks:]:
            tokens_BLD = block(tokens_BLD)
        latent_BLD: Tensor = self.norm(tokens_BLD)
        return latent_BLD


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

    def forward(self, latent_BLD: Tensor, kept: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Predicts the pixels of all patches in float32.

        Args:
            latent_BLD: What `Encoder.encode` gave; L = 1 + K.
            kept: Which patch each of the K tokens is [B, K], and bool [B, K]: a token at
                False is replaced by the mask token. None: the tokens are all patches.

        Returns:
            Predicted patches [B, N, V].
        """
        tokens = self.embed(latent_BLD)
        cls_B1E, patches_BNE = tokens[:, :1], tokens[:, 1:]
        if kept is not None:
            patches_BNE = self._place(patches_BNE, *kept)
        patches_BNE = patches_BNE + self.get_buffer("pos_embed")
        tokens = torch.cat([cls_B1E.to(patches_BNE.dtype), patches_BNE], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        predicted_BNV: Tensor = self.pred(self.norm(tokens[:, 1:]))
        return predicted_BNV.float()

    def _place(self, kept_BKE: Tensor, kept_BK: Tensor, visible_BK: Tensor) -> Tensor:
        """Gives tokens [B, N, E]: the visible ones at their patches, mask tokens elsewhere."""
        mask_token = self.mask_token.to(kept_BKE.dtype)
        kept_BKE = torch.where(visible_BK[..., None], kept_BKE, mask_token)
        hidden_BNE = mask_token.expand(len(kept_BKE), len(self.get_buffer("pos_embed")), -1)
        return hidden_BNE.scatter(1, kept_BK[..., None].expand_as(kept_BKE), kept_BKE)


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
            mask_BN: bool, True = hidden; where nothing is, the loss is 0.
            num_kept: See `predict`.
        """
        predicted_BNV = self.predict(images_BCHW, mask_BN, num_kept)
        target_BNV = patchify(images_BCHW, self.config.patch_px)
        error_BN = (predicted_BNV - target_BNV).square().mean(dim=2)
        return (error_BN * mask_BN).sum() / mask_BN.sum().clamp(min=1)

    def losses(self, batch: FaceBatch) -> dict[str, Tensor]:
        """Gives the loss of pretraining by its name, `mse`.

        Args:
            batch: Real faces with `hidden` patches, see `part_masking.draw_hidden`.
        """
        batch = batch.singles()
        if batch.hidden is None:
            raise ValueError("pretraining needs hidden patches")
        images_BCHW = normalize(batch.faces)
        return {"mse": self(images_BCHW, batch.hidden, keep_count(batch.hidden))}

    def reconstruct(self, images_BCHW: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """Predicts every pixel [B, C, H, W], of the visible patches too.

        Args:
            images_BCHW: Normalized faces.
            mask_BN: bool, True = hidden. None: nothing is hidden.
        """
        predicted_BNV = self.predict(images_BCHW, mask_BN)
        return unpatchify(predicted_BNV, self.config.patch_px)

    def decode(self, latent_BLD: Tensor) -> Tensor:
        """Predicts every pixel [B, C, H, W] from what the encoder gave of all patches."""
        return unpatchify(self.decoder(latent_BLD), self.config.patch_px)

    def stitched(
        self,
        images_BCHW: Tensor,
        part_masks_BPN: Tensor,
        mask_ratio: float,
        parts_at_once: int = 1,
    ) -> Tensor:
        """Restores every part from the rest of the face and joins the restored patches.

        A patch of several parts gets the mean of its predictions, a patch of none
        keeps the face's own pixels.

        Differs: the paper feeds the whole face. A decoder whose loss saw hidden
        patches only predicts visible ones poorly, so here each patch is hidden once.

        Args:
            images_BCHW: Normalized faces.
            part_masks_BPN: bool, True = the patch belongs to the part.
            mask_ratio: Share of a part that is hidden at once; see `complementary_folds`.
            parts_at_once: How many parts are hidden together; more is faster.

        Returns:
            Normalized faces [B, C, H, W].
        """
        hidden_BQN = complementary_folds(part_masks_BPN, mask_ratio, parts_at_once).flatten(1, 2)
        tokens_BND = self.encoder.embed(images_BCHW)
        own_BNV = patchify(images_BCHW, self.config.patch_px)
        total_BNV = torch.zeros_like(own_BNV)
        folds = max(1, _MAX_STITCHED // len(images_BCHW))
        for some_BQN in torch.split(hidden_BQN, folds, dim=1):
            repeated = tokens_BND.repeat_interleave(some_BQN.shape[1], dim=0)
            predicted = self._predict(repeated, some_BQN.flatten(0, 1))
            predicted_BQNV = predicted.reshape(*some_BQN.shape, -1)
            total_BNV += (predicted_BQNV * some_BQN[..., None]).sum(dim=1)
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
        predicted_BNV: Tensor
        if mask_BN is None:
            predicted_BNV = self.decoder(self.encoder.encode(tokens_BND))
            return predicted_BNV
        kept_BK = mask_BN.byte().argsort(dim=1, stable=True)[:, :num_kept]
        visible_BK = ~mask_BN.gather(1, kept_BK)
        kept_BKD = tokens_BND.gather(1, kept_BK[..., None].expand(-1, -1, tokens_BND.shape[2]))
        latent_BLD = self.encoder.encode(kept_BKD, visible_BK)
        predicted_BNV = self.decoder(latent_BLD, (kept_BK, visible_BK))
        return predicted_BNV
