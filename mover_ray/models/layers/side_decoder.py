"""One block of the decoder beside a frozen transformer, for one block of that.

Source: DFD-FCG (arXiv 2404.05583), and its authors' code.

Shapes:
    S: clips   T, U: frames of a clip   B: faces, S * T of them   N: patches, raster order
    G: patches of a side   A: heads   E: width of a head   D: width, A * E
    X: query, key, value   P: facial components   V: cells of an affinity map, T * T
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.models.layers.vit import NORM_EPS

#: Inner width of the temporal MLP.
_HIDDEN = 10
#: Attention of a component is softmax(100 cos(query, key)) over the patches.
_SHARPNESS = 100.0


def temporal_affinity(attributes_XSTNAE: Tensor) -> Tensor:
    """Gives how much each patch's attributes resemble themselves at other times.

    The attention of every attribute to itself, over the frames at one place; no values
    are mixed.

    Returns:
        [S, N, X * A, T, U]: sums to 1 over U.
    """
    scale = attributes_XSTNAE.shape[-1] ** -0.5
    products = torch.einsum("xstnae,xsunae->snxatu", attributes_XSTNAE * scale, attributes_XSTNAE)
    return products.softmax(dim=-1).flatten(2, 3)


class TemporalDecoder(nn.Module):
    """One value a patch: how its appearance changes over a clip."""

    def __init__(self, heads: int, frames: int) -> None:
        super().__init__()
        cells = frames**2
        self.merge = nn.Conv2d(3 * heads, 1, kernel_size=5, padding=2)
        nn.init.normal_(self.merge.weight, std=0.001)
        nn.init.zeros_(_bias(self.merge))
        self.norm = nn.LayerNorm(cells, eps=NORM_EPS)
        self.down = nn.Linear(cells, _HIDDEN)
        self.up = nn.Linear(_HIDDEN, cells)
        self.spread = nn.Conv2d(cells, 1, kernel_size=5, padding=2)

    def forward(self, attributes_XSTNAE: Tensor) -> Tensor:
        """Gives [S, N]."""
        maps_SNMTU = temporal_affinity(attributes_XSTNAE)
        clips, patches = maps_SNMTU.shape[:2]
        merged_SNV = self.merge(maps_SNMTU.flatten(0, 1)).reshape(clips, patches, -1)
        mixed_SNV = merged_SNV + self.up(F.gelu(self.down(self.norm(merged_SNV))))
        grid = round(patches**0.5)
        planes_SVGG = mixed_SNV.transpose(1, 2).reshape(clips, -1, grid, grid)
        values_SN: Tensor = self.spread(planes_SVGG).flatten(1)
        return values_SN


class ComponentDecoder(nn.Module):
    """What is seen of the facial components, found by learned queries."""

    def __init__(self, width: int, components: int) -> None:
        super().__init__()
        self.queries_PD = nn.Parameter(torch.empty(components, width))
        nn.init.normal_(self.queries_PD)

    def attend(self, keys_BND: Tensor) -> Tensor:
        """Gives where each component is looked for: [B, P, N], sums to 1 over patches."""
        cosines_BPN = F.normalize(self.queries_PD, dim=-1) @ F.normalize(
            keys_BND, dim=-1
        ).transpose(1, 2)
        return (_SHARPNESS * cosines_BPN.float()).softmax(dim=-1)

    def forward(self, keys_BND: Tensor, residual_BND: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the mean over components of what is seen [B, D], and the attention [B, P, N]."""
        attention_BPN = self.attend(keys_BND)
        seen_BPD = attention_BPN.to(residual_BND.dtype) @ residual_BND
        return seen_BPD.mean(dim=1), attention_BPN


def component_loss(queries_LPD: Tensor, prototypes_LPD: Tensor, scale: float) -> Tensor:
    """Gives the cross-entropy by which each query is to fit its own component's prototype.

    Args:
        queries_LPD: Of every block L.
        prototypes_LPD: Mean keys of the components' patches.
        scale: Factor of the cosines.
    """
    cosines_LPQ = F.normalize(queries_LPD, dim=-1) @ F.normalize(prototypes_LPD, dim=-1).transpose(
        1, 2
    )
    logits = scale * cosines_LPQ.float().flatten(0, 1)
    targets = torch.arange(queries_LPD.shape[1], device=logits.device)
    return F.cross_entropy(logits, targets.repeat(len(queries_LPD)))


def _bias(layer: nn.Conv2d) -> Tensor:
    if layer.bias is None:
        raise ValueError("the layer has no bias")
    return layer.bias
