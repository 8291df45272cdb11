"""How far a figure would have moved with other videos: cluster bootstrap intervals.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentiles);
Field and Welsh, Bootstrapping clustered data, JRSS B 69, 2007 (whole clusters are drawn).

Shapes:
    N: videos   C: clusters   B: draws at once
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mover_ray.config import check_at_least, check_range
from mover_ray.evaluation.ranking import Bools, Counts, Doubles, Floats, Ints, Ranking

#: Gives one figure for each set of counts.
Metric = Callable[[Counts], Doubles]

# Weights of so many videos are in memory at once: few enough for a processor's cache.
_CELLS = 1 << 18
# Of the draws alone: figures themselves are of every score.
_TOP, _REST = 1000, 3000
# Percentiles of fewer draws say nothing.
_LEAST_DRAWS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class BootstrapConfig:
    """How intervals are drawn."""

    draws: int = 1000
    """How often the people are drawn anew; 0 gives no intervals."""
    level: float = 0.95
    """Share of the draws inside the interval."""
    seed: int = 0
    """The same seed gives the same intervals."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for values that make no interval."""
        check_at_least(self, "draws", 0)
        check_range(self, "level", 0.5, 0.999)
        check_at_least(self, "seed", 0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and where it would lie with other videos of the same kind."""

    value: float
    low: float | None = None
    """Lower end of the interval; None where there are too few videos or people for one."""
    high: float | None = None
    """Upper end likewise."""


def estimate(
    labels: Bools,
    scores: Floats,
    clusters: Ints,
    metrics: Mapping[str, Metric],
    config: BootstrapConfig,
) -> dict[str, Estimate]:
    """Gives figures with their intervals.

    Whole clusters are drawn with replacement. A draw without a real or without a fake has no
    figure and is left out.

    Args:
        labels: [N], True for fake; both kinds are there.
        scores: [N], finite.
        clusters: [N], whose videos belong together, numbered from 0.
        metrics: Figures by name; all are computed from the same draws.
        config: Draws, level and seed.
    """
    ranking = Ranking.of(labels, scores)
    # One set of counts has figures without axes, a batch of them one axis.
    values = {name: float(metric(ranking.count())) for name, metric in metrics.items()}
    members = clusters[ranking.order]
    thinned = ranking.thinned(_TOP, _REST)
    drawn: dict[str, list[Doubles]] = {name: [] for name in metrics}
    for times_BC in _draws(clusters, config):
        counts = thinned.count(times_BC[:, members])
        counts = counts.select((counts.fakes[:, -1] > 0) & (counts.reals[:, -1] > 0))
        for name, metric in metrics.items():
            drawn[name].append(metric(counts))
    return {name: _interval(values[name], drawn[name], config) for name in metrics}


def mean_interval(values: Floats, clusters: Ints, config: BootstrapConfig) -> Estimate:
    """Gives the mean of values [N] and its interval over the same draws."""
    sums, sizes = np.bincount(clusters, weights=values), np.bincount(clusters)
    drawn = [(times @ sums) / (times @ sizes) for times in _draws(clusters, config)]
    return _interval(float(values.mean()), drawn, config)


def _interval(value: float, drawn: list[Doubles], config: BootstrapConfig) -> Estimate:
    every = np.concatenate(drawn) if drawn else np.zeros(0)
    if len(every) < _LEAST_DRAWS:
        return Estimate(value)
    tail = (1 - config.level) / 2
    low, high = np.quantile(every, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def _draws(clusters: Ints, config: BootstrapConfig) -> Iterator[npt.NDArray[np.float32]]:
    """Gives how often each cluster is drawn, [B, C], as many rows at once as memory allows."""
    count = int(clusters.max()) + 1
    if count < 2:
        return  # one person: nothing can be said of others
    rng = np.random.default_rng(config.seed)
    at_once = max(1, _CELLS // len(clusters))
    for first in range(0, config.draws, at_once):
        rows = min(at_once, config.draws - first)
        chosen = rng.integers(0, count, (rows, count))
        chosen += np.arange(rows)[:, None] * count
        times = np.bincount(chosen.ravel(), minlength=rows * count)
        yield times.reshape(rows, count).astype(np.float32)
