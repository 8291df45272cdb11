"""Which units make up a batch: a pure function of seed, epoch, step and world size.

A *unit* is what must stay together: a face, or a real segment with its fake. A batch is
that of all ranks together; the world size only decides who computes which share. So the
batches stay the same when workers come or go between two steps, every unit is still
seen once an epoch, and (epoch, step) is all that a checkpoint must remember.
"""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mover_ray.errors import ConfigError

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Share:
    """What one rank computes at once: positions [first, stop) of the epoch's order."""

    first: int
    stop: int
    weight: float
    """Factor of this share's mean loss, so that the sum over shares and the mean over
    ranks is the mean over the batch; 0 for a rank that only keeps the others company."""


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """The batches of one epoch."""

    num_units: int
    """Units of the epoch; each is in one batch."""
    batch_units: int
    """Most units of a batch, all ranks together. Batches differ by one unit at most, so
    that no batch at the end is much smaller than the others."""
    seed: int
    """Of the whole training."""
    epoch: int
    """Number of the epoch, from 0."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` if there is nothing to train on."""
        if self.num_units < 1:
            raise ConfigError("there is nothing to train on: no sample was selected")
        if self.batch_units < 1:
            raise ConfigError(f"batch_size is too small: `{self.batch_units}`")

    @property
    def num_steps(self) -> int:
        """Batches of the epoch."""
        return -(-self.num_units // self.batch_units)

    def shares(self, step: int, rank: int, world_size: int, micro_units: int) -> list[Share]:
        """Gives what a rank computes of a step, in order.

        Args:
            step: From 0 to `num_steps` - 1.
            rank: From 0 to `world_size` - 1.
            world_size: Ranks that share the step.
            micro_units: Most units that a rank computes at once.

        Returns:
            At least one share: a rank for which nothing is left repeats a unit of the
            batch with weight 0, because its partners wait for its gradient.
        """
        start, stop = _cut(0, self.num_units, self.num_steps, step)
        first, last = _cut(start, stop, world_size, rank)
        if first == last:
            company = start + rank % (stop - start)
            return [Share(company, company + 1, 0.0)]
        parts = -(-(last - first) // micro_units)
        cuts = (_cut(first, last, parts, part) for part in range(parts))
        unit_weight = world_size / (stop - start)
        return [Share(low, high, (high - low) * unit_weight) for low, high in cuts]

    def units(self, share: Share) -> Indices:
        """Gives the units of a share."""
        return shuffled(self.num_units, self.seed, self.epoch)[share.first : share.stop]


def cycled(num_units: int, seed: int, epoch: int, share: Share) -> Indices:
    """Gives units for the positions of a share from a pool of another size.

    The pool is gone through again and again, in a new order each time.
    """
    positions = np.arange(share.first, share.stop)
    rounds = range(share.first // num_units, (share.stop - 1) // num_units + 1)
    orders = np.concatenate([shuffled(num_units, seed, epoch, again) for again in rounds])
    return orders[positions - rounds[0] * num_units]


@functools.lru_cache(maxsize=8)
def shuffled(num_units: int, *key: int) -> Indices:
    """Gives a permutation that depends on its arguments alone; nobody writes into it."""
    order = np.random.default_rng(key).permutation(num_units)
    order.flags.writeable = False
    return order


def _cut(start: int, stop: int, parts: int, part: int) -> tuple[int, int]:
    """Gives the ends of one of `parts` nearly equal pieces of [start, stop)."""
    length = stop - start
    return start + length * part // parts, start + length * (part + 1) // parts
