"""Which pairs meta-learning trains on, judges by and tests on."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mover_ray.errors import ConfigError
from mover_ray.training.loading import Pairs
from mover_ray.training.meta import MetaBatch, MetaConfig
from mover_ray.training.pairing import FORGED
from mover_ray.training.sampler import EpochPlan, Indices, Share, cycled
from mover_ray.training.samples import Samples
from mover_ray.training.sources import source_groups


@dataclass(frozen=True, slots=True)
class MetaPairs:
    """The tasks of one epoch: each meta-train pair once, the others in turn beside them."""

    train: Pairs
    reference: Pairs
    test: Pairs

    def __len__(self) -> int:
        return len(self.train.pairs)

    def load(self, plan: EpochPlan, share: Share, threads: Executor) -> Callable[[], MetaBatch]:
        """Starts reading a task; gives a function that waits for it."""
        train = self.train.read(plan.units(share), plan.epoch, threads)
        others = [
            pairs.read(cycled(len(pairs.pairs), plan.seed, plan.epoch, share), plan.epoch, threads)
            for pairs in (self.reference, self.test)
        ]
        return lambda: MetaBatch(train(), *(other() for other in others))

    def names(self, plan: EpochPlan, share: Share) -> list[str]:
        """Names the meta-train segments of a share."""
        return self.train.names(plan, share)


def split_pairs(
    samples: Samples, pairs: Indices, config: MetaConfig, seed: int, epoch: int
) -> tuple[Indices, Indices, Indices]:
    """Splits pairs at random into meta-train, reference and meta-test.

    Args:
        samples: What the pairs point into.
        pairs: [U, 2], see `pairing.pair_up`.
        config: The rule.
        seed: Of the training.
        epoch: Each has a split of its own.

    Returns:
        Three lists of pairs. Meta-test shares no manipulation with the others, or no
        source where it is split by videos; the reference shares no source with
        meta-train.

    Raises:
        ConfigError: There are too few manipulations or sources.
    """
    rng = np.random.default_rng((seed, epoch))
    sources = source_groups(samples.corpus)[samples.videos[pairs[:, 0]]]
    methods = _methods(samples, pairs)
    num_methods = len(np.unique(methods))
    by_method = config.split == "manipulation" or (config.split == "auto" and num_methods > 1)
    if by_method and num_methods < 2:
        raise ConfigError(
            f"meta-learning by manipulation needs two of them, the corpus has {num_methods}",
            hint="set `meta.split` to `videos` or `auto`",
        )
    is_test = _drawn(methods if by_method else sources, config.test_share, rng)
    is_reference = np.zeros(len(pairs), dtype=bool)
    is_reference[~is_test] = _drawn(sources[~is_test], config.reference_share, rng)
    return pairs[~is_test & ~is_reference], pairs[is_reference], pairs[is_test]


def _methods(samples: Samples, pairs: Indices) -> npt.NDArray[np.int64]:
    """Gives each pair the number of its manipulation; forged fakes are one of their own."""
    names = [name or "" for name in samples.corpus.column("method")]
    number_of = {name: number for number, name in enumerate(sorted(set(names)))}
    by_video = np.array([number_of[name] for name in names])
    fakes = pairs[:, 1]
    return np.where(fakes == FORGED, FORGED, by_video[samples.videos[fakes.clip(min=0)]])


def _drawn(
    kinds: npt.NDArray[np.int64], share: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Draws a share of the kinds, one at least but not all; says which pairs they are."""
    known = np.unique(kinds)
    if len(known) < 2:
        raise ConfigError(
            "meta-learning needs at least two sources in meta-train and one beside them",
            hint="add videos, or train without meta-learning",
        )
    count = min(max(round(share * len(known)), 1), len(known) - 1)
    return np.isin(kinds, rng.choice(known, count, replace=False))
