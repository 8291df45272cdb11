"""Vision transformer blocks in plain torch, under timm's state-dict names.

timm is not imported: with torchvision, which it loads, its import takes 8 s of
CPU beside torch's 4.5 s, more than scoring a short video does. The tests compare
these blocks with timm's.

Shapes:
    B: images   N: patches   L: tokens   D: width   A: heads   G: patches of a side
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: As in ViT and MAE; torch's own default is 1e-5.
NORM_EPS = 1e-6


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

    def forward(self, tokens_BLD: Tensor, attended_BL: Tensor | None = None) -> Tensor:
        """Mixes tokens; where `attended_BL` is False, a token is looked at by none."""
        batch, length, width = tokens_BLD.shape
        qkv = self.qkv(tokens_BLD).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mask = None if attended_BL is None else attended_BL[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined_BLD: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, length, width))
        return joined_BLD


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


class Block(nn.Module):
    """Pre-norm transformer block.

    Source: ViT (arXiv 2010.11929), section 3.1.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width)

    def forward(self, tokens_BLD: Tensor, attended_BL: Tensor | None = None) -> Tensor:
        """Updates tokens; where `attended_BL` is False, a token is looked at by none."""
        mixed_BLD: Tensor = tokens_BLD + self.attn(self.norm1(tokens_BLD), attended_BL)
        updated_BLD: Tensor = mixed_BLD + self.mlp(self.norm2(mixed_BLD))
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
