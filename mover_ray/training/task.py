"""What one kind of training tells the loop that all of them share."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from mover_ray.models.base import Detector, FaceBatch
from mover_ray.models.mae import MaskedAutoencoder
from mover_ray.training.optim import OptimConfig
from mover_ray.training.sampler import EpochPlan, Share

#: What validation calls the number that decides; higher is better.
SCORE = "score"


class PlainStep(nn.Module):
    """The loss of a batch, as a forward pass that DDP can watch."""

    def __init__(self, model: Detector | MaskedAutoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: FaceBatch) -> dict[str, Tensor]:
        """Gives the terms of the loss by name."""
        return self.model.losses(batch)


class EpochData(Protocol):
    """The units of one epoch."""

    def __len__(self) -> int:
        """How many there are; each is in one batch."""
        ...

    def load(self, plan: EpochPlan, share: Share, threads: Executor) -> Callable[[], Any]:
        """Starts reading a share; gives a function that waits for the batch."""
        ...

    def names(self, plan: EpochPlan, share: Share) -> list[str]:
        """Names the segments of a share for messages."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What one kind of training does in its own way."""

    model: nn.Module
    """What is trained and kept."""
    step: nn.Module
    """Holds the model; gives the terms of the loss of a batch by name, to be added up."""
    optimizers: Mapping[str, OptimConfig]
    """By prefix of the names of the model's parameters."""
    data: Callable[[int], EpochData]
    """Gives the units of an epoch."""
    validate: Callable[[Executor], Mapping[str, float]]
    """Gives metrics of the model as it is, equal on all ranks, `SCORE` among them."""
    illustrate: Callable[[Path], None]
    """Writes pictures of what the model does, under names that begin with the path's."""
    config: Mapping[str, Any]
    """Every setting that the weights depend on."""
