"""Decodes a transformer's tokens into a mask by looking at all patches of the face at once.

Shapes:
    B: faces   N: patches   G: patches of a side   D: width of a token   S: sets of tokens
    F: features
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.models.layers.classifier import Classifier
from mover_ray.models.layers.vit import NORM_EPS, Block, initialize, sincos_positions

#: Width of the decoder's tokens, and its heads.
WIDTH, _HEADS = 192, 3


class TokenDecoder(nn.Module):
    """Joins the tokens of several blocks patch by patch and compares the patches.

    Whether a patch fits the rest of the face cannot be told from it alone: its sharpness
    and noise mean nothing but beside those of the others.

    Args:
        token_width: D.
        num_sets: S, blocks of the encoder whose tokens are given.
        grid: G.
        depth: Transformer blocks of the decoder.
    """

    def __init__(self, token_width: int, num_sets: int, grid: int, depth: int) -> None:
        super().__init__()
        self._num_sets = num_sets
        self.embed = nn.Linear(num_sets * token_width, WIDTH)
        self.register_buffer("positions_ND", sincos_positions(grid, WIDTH), persistent=False)
        self.blocks = nn.ModuleList(Block(WIDTH, _HEADS) for _ in range(depth))
        self.norm = nn.LayerNorm(WIDTH, eps=NORM_EPS)
        self.head = Classifier(WIDTH, 1)
        initialize(self)

    def forward(self, tokens_BDGG: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the mask's logits [B, G, G] and the features [B, F, G, G] behind them.

        Args:
            tokens_BDGG: [B, S * D, G, G], the sets one after the other.
        """
        batch, _, grid, _ = tokens_BDGG.shape
        tokens_BND = tokens_BDGG.flatten(2).transpose(1, 2)
        # Blocks differ in scale by an order of magnitude.
        sets = [_normalized(one) for one in tokens_BND.chunk(self._num_sets, dim=2)]
        hidden_BNF = self.embed(torch.cat(sets, dim=2)) + self.get_buffer("positions_ND")
        for block in self.blocks:
            hidden_BNF = block(hidden_BNF)
        features_BNF = self.norm(hidden_BNF)
        logits_BGG = self.head(features_BNF).reshape(batch, grid, grid)
        features_BFGG = features_BNF.transpose(1, 2).reshape(batch, WIDTH, grid, grid)
        return logits_BGG, features_BFGG


def _normalized(tokens_BND: Tensor) -> Tensor:
    return F.layer_norm(tokens_BND, tokens_BND.shape[-1:])
