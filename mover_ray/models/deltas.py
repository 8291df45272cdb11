"""What finetuning adds to a frozen encoder, instead of an encoder of its own.

Shapes:
    B: images   L: tokens   D: width   O: outputs of a linear layer   R: rank
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.models.layers.vit import Block, Change, unchanged
from mover_ray.models.mae import Encoder

KINDS = ("layernorm", "lora")


class NormDelta(nn.Module):
    """Added to the weight and the bias of a LayerNorm; zero before training."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros_like(norm.weight))
        self.bias = nn.Parameter(torch.zeros_like(norm.bias))

    def forward(self, norm: nn.LayerNorm, tokens_BLD: Tensor) -> Tensor:
        """Gives what the changed norm gives."""
        weight, bias = norm.weight + self.weight, norm.bias + self.bias
        return F.layer_norm(tokens_BLD, norm.normalized_shape, weight, bias, norm.eps)


class LowRankDelta(nn.Module):
    """Added to the weight of a linear layer; zero before training.

    Source: LoRA (arXiv 2106.09685), section 4.1.
    Differs: the product is added to the weight, which costs less than a second path
    for more than a handful of tokens; there is no factor beside it.
    """

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.down_RD = nn.Parameter(torch.empty(rank, linear.in_features))
        self.up_OR = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.normal_(self.down_RD, std=linear.in_features**-0.5)

    def forward(self, linear: nn.Linear, tokens_BLD: Tensor) -> Tensor:
        """Gives what the changed layer gives."""
        return F.linear(tokens_BLD, linear.weight + self.up_OR @ self.down_RD, linear.bias)


class BlockDeltas(nn.Module):
    """The changes of one transformer block; a `vit.Change`."""

    def __init__(self, block: Block, kind: str, rank: int) -> None:
        super().__init__()
        self.deltas = nn.ModuleDict()
        if kind == "layernorm":
            self.deltas["norm1"] = NormDelta(block.norm1)
            self.deltas["norm2"] = NormDelta(block.norm2)
        else:
            self.deltas["qkv"] = LowRankDelta(block.attn.qkv, rank)
            self.deltas["proj"] = LowRankDelta(block.attn.proj, rank)

    def forward(self, name: str, layer: nn.Module, tokens_BLD: Tensor) -> Tensor:
        """Applies the layer `name`, changed if it is one of those that change."""
        if name not in self.deltas:
            return unchanged(name, layer, tokens_BLD)
        changed_BLD: Tensor = self.deltas[name](layer, tokens_BLD)
        return changed_BLD


class EncoderDeltas(nn.Module):
    """The changes of the last blocks and of the last norm of an encoder.

    The encoder itself is given anew at each call and belongs to someone else: it is
    stored once, and what comes before the changed blocks is computed once.

    Args:
        encoder: For its sizes.
        kind: One of `KINDS`.
        num_blocks: How many of the last blocks change. None: all.
        rank: Of the low-rank changes.
    """

    def __init__(self, encoder: Encoder, kind: str, num_blocks: int | None, rank: int) -> None:
        super().__init__()
        self.first = 0 if num_blocks is None else len(encoder.blocks) - num_blocks
        changing = list(encoder.blocks)[self.first :]
        self.blocks = nn.ModuleList(BlockDeltas(cast("Block", one), kind, rank) for one in changing)
        self.norm = NormDelta(encoder.norm)

    def change(self, number: int) -> Change:
        """Gives how the layers of a block, counted from 0, are applied."""
        return self.blocks[number - self.first] if number >= self.first else unchanged

    def forward(self, encoder: Encoder, tokens_BLD: Tensor) -> Tensor:
        """Gives normalized tokens [B, L, D].

        Args:
            encoder: The one whose sizes were given.
            tokens_BLD: What its `start` gave after the `first` blocks.
        """
        for block, change in zip(encoder.blocks[self.first :], self.blocks, strict=True):
            tokens_BLD = block(tokens_BLD, change=change)
        changed_BLD: Tensor = self.norm(encoder.norm, tokens_BLD)
        return changed_BLD
