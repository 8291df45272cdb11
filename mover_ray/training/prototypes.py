"""What facial components look like to a frozen backbone: where FCG's queries start.

Source: DFD-FCG (arXiv 2404.05583): mean keys of the components' patches over about 2,000
aligned real faces.
Differs: components are found by landmarks, not by a parsing network.

Shapes:
    B: faces   N: patches, raster order   D: width of the backbone   L: blocks of the backbone
    Q: parts of `roi`   P: facial components
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mover_ray.config import check_at_least
from mover_ray.errors import ConfigError
from mover_ray.faces.parts import PARTITIONS
from mover_ray.models.base import FaceBatch
from mover_ray.models.fcg import COMPONENTS
from mover_ray.models.frozen_backbone import FrozenBackbone, LayerFeatures
from mover_ray.models.part_masking import locate_parts
from mover_ray.training.corpus import Corpus
from mover_ray.training.loading import Reading, collate
from mover_ray.training.samples import (
    Selection,
    check_crop_size,
    require_real,
    segments,
    select,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PrototypeConfig:
    """Which faces prototypes are made of."""

    data: Selection = field(default_factory=lambda: Selection(labels=("real",)))
    """Which videos; all must be real."""
    faces: int = 2000
    """Crops at most, spread evenly over the videos (paper: about 2,000)."""
    batch: int = 32
    """Faces of one pass; of no effect but on memory."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "faces", 1)
        check_at_least(self, "batch", 1)


@torch.inference_mode()
def mean_keys(
    backbone: FrozenBackbone, corpus: Corpus, config: PrototypeConfig, device: torch.device
) -> tuple[Tensor, int]:
    """Gives the mean key of each component in every block [L, P, D], and of how many faces.

    Args:
        backbone: On `device`.
        corpus: Crops of the backbone's size.
        config: Which faces.
        device: Where.

    Raises:
        ConfigError: The selection is empty or holds fakes, its crops have another size, or
            no face shows some component.
    """
    check_crop_size(corpus, backbone.config.image_px)
    sums_LPD = torch.zeros(backbone.depth, len(COMPONENTS), backbone.width, device=device)
    patches_P = torch.zeros(len(COMPONENTS), device=device)
    count = 0
    for batch in _faces(corpus, config):
        moved = batch.to(device)
        inside_BPN = component_patches(backbone, moved.landmarks).to(sums_LPD)

        def take(layer: LayerFeatures, inside_BPN: Tensor = inside_BPN) -> None:
            sums_LPD[layer.index] += (inside_BPN @ layer.keys_BND).sum(dim=0)

        backbone.read(moved.faces, take)
        patches_P += inside_BPN.sum(dim=(0, 2))
        count += len(moved.labels)
    unseen = [name for name, seen in zip(COMPONENTS, patches_P.tolist(), strict=True) if not seen]
    if unseen:
        raise ConfigError(f"no face shows its {unseen[0]}", hint="extract larger crops")
    return (sums_LPD / patches_P[:, None]).cpu(), count


def component_patches(backbone: FrozenBackbone, landmarks_BKX: Tensor) -> Tensor:
    """Gives the patches of each component: bool [B, P, N], on the landmarks' device."""
    parts_BQN = locate_parts(
        landmarks_BKX, backbone.config.image_px, backbone.patch_px, partition="roi"
    )
    numbers = {name: number for number, name in enumerate(PARTITIONS["roi"])}
    return torch.stack(
        [
            parts_BQN[:, [numbers[name] for name in names]].any(dim=1)
            for names in COMPONENTS.values()
        ],
        dim=1,
    )


def _faces(corpus: Corpus, config: PrototypeConfig) -> Iterator[FaceBatch]:
    """Gives crops as they are, some at a time."""
    samples = segments(corpus, select(corpus, config.data, validation=False), 1)
    require_real(samples)
    reading = Reading(samples=samples, seed=0)
    chosen = np.linspace(0, len(samples) - 1, min(config.faces, len(samples))).astype(np.int64)
    for first in range(0, len(chosen), config.batch):
        some = chosen[first : first + config.batch].tolist()
        yield collate([reading.single(one, 0) for one in some]).singles()
