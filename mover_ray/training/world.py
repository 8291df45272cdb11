"""The processes that train together: one alone, or several that share their gradients."""

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


class World(Protocol):
    """What a loop needs to know of the processes beside its own.

    Every method is a meeting: all ranks call it, in the same order.
    """

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        ...

    @property
    def size(self) -> int:
        """How many processes there are."""
        ...

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        ...

    def wrap(self, module: nn.Module) -> nn.Module:
        """Gives a module whose backward pass averages the gradients over the ranks."""
        ...

    def sum(self, tensor: Tensor) -> Tensor:
        """Gives the sum over the ranks; every rank gives a tensor of one shape and type."""
        ...

    def barrier(self) -> None:
        """Waits until every rank is here."""
        ...


@dataclass(frozen=True, slots=True)
class Alone:
    """One process."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    size: int = 1

    def wrap(self, module: nn.Module) -> nn.Module:
        """Gives the module itself."""
        return module

    def sum(self, tensor: Tensor) -> Tensor:
        """Gives the tensor itself."""
        return tensor

    def barrier(self) -> None:
        """Has nobody to wait for."""


class Distributed:
    """The processes of `torch.distributed`, which the caller has initialized."""

    def __init__(self, device: torch.device) -> None:
        """Takes the device of this process: its tensors must fit the backend."""
        self.device = device
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()

    def wrap(self, module: nn.Module) -> nn.Module:
        """Gives the module under DDP.

        Buffers are not broadcast: each rank keeps its own running statistics until
        `average_buffers`, and a broadcast amid a meta-learning step would change them.
        """
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, broadcast_buffers=False)

    def sum(self, tensor: Tensor) -> Tensor:
        """Gives the sum over the ranks, on this rank's device."""
        total = tensor.to(self.device, copy=True)
        distributed.all_reduce(total)
        return total

    def barrier(self) -> None:
        """Waits until every rank is here."""
        distributed.barrier()


#: Told on every rank at the end of each epoch: its metrics, and on rank 0 the checkpoint.
Report = Callable[[Mapping[str, float], Path | None], None]


class ScalarWriter(Protocol):
    """TensorBoard's `SummaryWriter`, or whatever draws curves like it."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Takes one point of one curve."""
        ...


def _report_nothing(metrics: Mapping[str, float], checkpoint: Path | None) -> None:
    del metrics, checkpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """Where a loop runs and whom it tells."""

    world: World
    """The processes that train together."""
    folder: Path
    """Holds `checkpoints/`, `metrics.jsonl` and `pictures/`. Every rank reads the
    checkpoints; only rank 0 writes."""
    report: Report = _report_nothing
    """Called by every rank once an epoch, after the checkpoint has been written."""
    scalars: ScalarWriter | None = None
    """Gets every metric; used on rank 0 alone."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.world.rank == 0


def unsynchronized(module: nn.Module) -> AbstractContextManager[None]:
    """Keeps gradients on their rank: for all but the last micro-batch of a step."""
    if isinstance(module, DistributedDataParallel):
        return module.no_sync()
    return contextlib.nullcontext()


@torch.no_grad()
def average_buffers(module: nn.Module, world: World) -> None:
    """Makes running statistics equal on all ranks: their mean."""
    if world.size == 1:
        return
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.copy_(world.sum(buffer) / world.size)
