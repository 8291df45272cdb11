"""Which patches of a face are hidden from the autoencoder.

Source: DeepfakeMAE (arXiv 2303.01740), Algorithm 1 and section 4.4.

Shapes:
    B: images   P: facial parts   G: groups of parts   F: folds
    N: patches in raster order   K: landmarks (68)   X: x and y
    hidden_BN, part_masks_BPN: True = hidden, True = the patch belongs to the part
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mover_ray.config import check_choice, check_range
from mover_ray.errors import ConfigError
from mover_ray.faces.parts import PARTITIONS, patch_masks

STRATEGIES = ("part", "random_patches")


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskingConfig:
    """What pretraining hides of a face."""

    strategy: str = "part"
    """`part` (paper): one part of each image, drawn anew every time; `random_patches`:
    patches of the whole image (MAE; the paper's ablation)."""
    partition: str = "roi"
    """How the face is split into parts: `raster` (DeepfakeMAE), `bands` or `roi` (Mover)."""
    part: str | None = None
    """The one part that is always taken (the paper's ablations); None: drawn at random."""
    ratio: float = 0.5
    """Hidden share of the part, or of all patches with `random_patches` (paper: 0.5)."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_choice(self, "strategy", STRATEGIES)
        check_choice(self, "partition", tuple(PARTITIONS))
        check_range(self, "ratio", 0.05, 1.0)
        if self.part is None:
            return
        check_choice(self, "part", PARTITIONS[self.partition])
        if self.strategy != "part":
            hint = "leave `part` out, or choose the strategy `part`"
            raise ConfigError(f"`{self.strategy}` knows no part: `{self.part}`", hint=hint)


def locate_parts(landmarks_BKX: Tensor, image_px: int, patch_px: int, partition: str) -> Tensor:
    """Gives the patches of each facial part: bool [B, P, N], on the landmarks' device.

    Args:
        landmarks_BKX: Pixels of the crop.
        image_px: Side of the crop.
        patch_px: Side of a patch.
        partition: A key of `faces.parts.PARTITIONS`, whose order the parts have.
    """
    names = PARTITIONS[partition]
    by_face = (
        patch_masks(points_KX, image_px, patch_px, partition)
        for points_KX in landmarks_BKX.cpu().numpy()
    )
    masks = [[by_part[name] for name in names] for by_part in by_face]
    return torch.from_numpy(np.stack(masks)).to(landmarks_BKX.device)


def draw_hidden(
    config: MaskingConfig, part_masks_BPN: Tensor, generator: torch.Generator
) -> Tensor:
    """Draws the patches that are hidden: bool [B, N].

    Images hide different numbers of patches, because their parts have different sizes.
    An image with no patch of any part, or of the one that is asked for, hides nothing.

    Args:
        config: What to draw.
        part_masks_BPN: What `locate_parts` gave.
        generator: Source of chance, on the device of the masks.
    """
    batch, parts, patches = part_masks_BPN.shape
    device = part_masks_BPN.device
    if config.strategy == "random_patches":
        candidates_BN = torch.ones(batch, patches, dtype=torch.bool, device=device)
    elif config.part is not None:
        candidates_BN = part_masks_BPN[:, PARTITIONS[config.partition].index(config.part)]
    else:
        noise_BP = torch.rand(batch, parts, generator=generator, device=device)
        drawn_B = (noise_BP + part_masks_BPN.any(dim=2)).argmax(dim=1)
        candidates_BN = part_masks_BPN[torch.arange(batch, device=device), drawn_B]
    noise_BN = torch.rand(batch, patches, generator=generator, device=device)
    return _lowest(noise_BN, candidates_BN, config.ratio)


def keep_count(hidden_BN: Tensor, multiple: int = 8) -> int:
    """Gives how many patches of every image must enter the encoder, see `predict`.

    Args:
        hidden_BN: What `draw_hidden` gave; cheap where it lies on the CPU.
        multiple: Rounded up to this, so that batches have few different shapes.
    """
    num_patches = hidden_BN.shape[1]
    visible = num_patches - int(hidden_BN.sum(dim=1).min())
    return min(num_patches, math.ceil(visible / multiple) * multiple)


def complementary_folds(
    part_masks_BPN: Tensor, mask_ratio: float, parts_at_once: int = 1
) -> Tensor:
    """Splits every part into disjoint folds that together cover it.

    At the ratio 0.5 these are two halves. The split is spread over the part as a
    random draw would be, because that is what the autoencoder was trained on, and is
    the same on every call.

    Args:
        part_masks_BPN: bool, True = the patch belongs to the part.
        mask_ratio: Largest share of a part in one fold, up to one patch; in (0, 1].
        parts_at_once: How many parts are hidden together; not neighbours in the order
            of the parts, as far as that goes.

    Returns:
        bool [B, G, F, N], True = hidden in this fold; G = ceil(P / parts_at_once),
        F = ceil(1 / mask_ratio).
    """
    num_folds = math.ceil(1 / mask_ratio)
    order_N, inverse_N = _fixed_order(part_masks_BPN.shape[-1])
    shuffled_BPN = part_masks_BPN[..., order_N.to(part_masks_BPN.device)]
    rank_BPN = shuffled_BPN.cumsum(-1) - 1
    fold_BPN = (rank_BPN % num_folds)[..., inverse_N.to(part_masks_BPN.device)]
    folds = torch.arange(num_folds, device=part_masks_BPN.device)
    by_part_BPFN = part_masks_BPN[:, :, None] & (fold_BPN[:, :, None] == folds[:, None])
    num_groups = math.ceil(part_masks_BPN.shape[1] / parts_at_once)
    groups = [by_part_BPFN[:, first::num_groups].any(dim=1) for first in range(num_groups)]
    return torch.stack(groups, dim=1)


def _lowest(noise_BN: Tensor, candidates_BN: Tensor, ratio: float) -> Tensor:
    """Gives the candidates with the lowest noise: a share of them, but at least one."""
    order_BN = noise_BN.masked_fill(~candidates_BN, math.inf).argsort(dim=1)
    rank_BN = order_BN.argsort(dim=1)
    count_B1 = (candidates_BN.sum(dim=1, keepdim=True) * ratio).round().clamp(min=1)
    return candidates_BN & (rank_BN < count_B1)


@functools.cache
def _fixed_order(num_patches: int) -> tuple[Tensor, Tensor]:
    """Gives one permutation for all time and its inverse; NumPy has frozen this generator."""
    order = np.random.RandomState(0).permutation(num_patches)
    return torch.from_numpy(order), torch.from_numpy(np.argsort(order))
