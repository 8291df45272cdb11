"""Vision transformer blocks in plain torch, under timm's state-dict names.

timm is not imported: with torchvision, which it loads, its import takes 8 s of
CPU beside torch's 4.5 s, more than scoring a short video does. The tests compare
these blocks with timm's.

Shapes:
    B: images   N: patches   L: tokens   D: width   A: heads   G: patches of a side
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: As in ViT and MAE; torch's own default is 1e-5.
NORM_EPS = 1e-6

#: Applies a layer of a block, given its name, itself and its input; see `deltas`.
Change = Callable[[str, nn.Module, Tensor], Tensor]


def unchanged(_name: str, layer: nn.Module, tokens_BLD: Tensor) -> Tensor:
    """Applies a layer as it is."""
    applied: Tensor = layer(tokens_BLD)
    return applied


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Size of a stack of transformer blocks."""

    width: int
    depth: int
    heads: int


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        tokens_BLD: Tensor,
        attended_BL: Tensor | None = None,
        change: Change = unchanged,
    ) -> Tensor:
        """Mixes tokens; where `attended_BL` is False, a token is looked at by none."""
        batch, length, width = tokens_BLD.shape
        qkv = change("qkv", self.qkv, tokens_BLD)
        by_head = qkv.reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, value = by_head.permute(2, 0, 3, 1, 4).unbind(0)
        mask = None if attended_BL is None else attended_BL[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return change("proj", self.proj, mixed.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    """Two linear layers with a GELU, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens_BLD: Tensor) -> Tensor:
        """Maps every token by itself."""
        mapped_BLD: Tensor = self.fc2(F.gelu(self.fc1(tokens_BLD)))
        return mapped_BLD


class LayerScale(nn.Module):
    """A factor for each channel.

    Source: CaiT (arXiv 2103.17239), section 2.1.
    Differs: starts at 1, where it changes nothing; it is here for weights that have it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens_BLD: Tensor) -> Tensor:
        """Scales every token alike."""
        return tokens_BLD * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block.

    Source: ViT (arXiv 2010.11929), section 3.1; `layer_scale`: DINOv2 (arXiv 2304.07193).
    """

    def __init__(self, width: int, heads: int, *, layer_scale: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads)
        self.ls1: nn.Module = LayerScale(width) if layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width)
        self.ls2: nn.Module = LayerScale(width) if layer_scale else nn.Identity()

    def forward(
        self,
        tokens_BLD: Tensor,
        attended_BL: Tensor | None = None,
        change: Change = unchanged,
    ) -> Tensor:
        """Updates tokens.

        Args:
            tokens_BLD: Not normalized.
            attended_BL: bool; a token at False is looked at by none. None: all are.
            change: How the norms and the attention's linear layers are applied.
        """
        normed_BLD = change("norm1", self.norm1, tokens_BLD)
        mixed_BLD: Tensor = tokens_BLD + self.ls1(self.attn(normed_BLD, attended_BL, change))
        normed_BLD = change("norm2", self.norm2, mixed_BLD)
        updated_BLD: Tensor = mixed_BLD + self.ls2(self.mlp(normed_BLD))
        return updated_BLD


class PatchEmbed(nn.Module):
    """Cuts images into patches and maps each to a token, in raster order."""

    def __init__(self, patch_px: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch_px, stride=patch_px)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Gives tokens [B, N, D]."""
        patches_BDGG: Tensor = self.proj(images_BCHW)
        return patches_BDGG.flatten(2).transpose(1, 2)


def sincos_positions(grid: int, width: int) -> Tensor:
    """Gives fixed two-dimensional sine-cosine positions [G * G, D] in raster order.

    The first half of the channels tells the column, the second half the row.

    Source: MoCo v3 (arXiv 2104.02057), as used by MAE.
    """
    if width % 4:
        raise ValueError(f"width must be a multiple of 4: {width}")
    steps = torch.arange(width // 4, dtype=torch.float64) / (width // 4)
    angles = torch.arange(grid, dtype=torch.float64)[:, None] / 10000**steps
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns = axis[None, :, :].expand(grid, grid, -1)
    rows = axis[:, None, :].expand(grid, grid, -1)
    return torch.cat([columns, rows], dim=2).reshape(grid * grid, width).float()


def initialize(module: nn.Module) -> None:
    """Draws the weights of linear layers and of patch embeddings, taken as linear."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(part.weight.flatten(1))
            if part.bias is not None:
                nn.init.zeros_(part.bias)
