"""Scores put in order once, and counted from there with as many weights as one likes.

Shapes:
    N: videos or frames   K: distinct scores, from the highest down   B: sets of weights
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Fakes and reals at or above each distinct score; leading axes are sets of weights."""

    fakes: Doubles
    """[..., K], ascending; the last is their number."""
    reals: Doubles
    """[..., K], ascending; the last is their number."""
    thresholds: Doubles
    """[K], the scores, descending."""

    @property
    def true_positive_rate(self) -> Doubles:
        """[..., K], share of fakes at or above each score."""
        return self.fakes / self.fakes[..., -1:]

    @property
    def false_positive_rate(self) -> Doubles:
        """[..., K], share of reals at or above each score."""
        return self.reals / self.reals[..., -1:]

    def auc(self) -> Doubles:
        """[...], probability that a random fake is above a random real; a tie counts half."""
        steps = np.diff(self.reals, prepend=0.0, axis=-1)
        fakes = self.fakes
        above = np.concatenate([np.zeros_like(fakes[..., :1]), fakes[..., :-1]], axis=-1)
        wins = (steps * (fakes + above)).sum(axis=-1) / 2
        return np.asarray(wins / (fakes[..., -1] * self.reals[..., -1]))

    def average_precision(self) -> Doubles:
        """[...], mean precision over the fakes, each at the score that first finds it."""
        called = self.fakes + self.reals
        precision = np.divide(self.fakes, called, out=np.zeros_like(called), where=called > 0)
        found = np.diff(self.fakes, prepend=0.0, axis=-1)
        return np.asarray((found * precision).sum(axis=-1) / self.fakes[..., -1])

    def equal_error_rate(self) -> Doubles:
        """[...], where as many reals are called fake as fakes are missed, on straight lines."""
        alarms = _with_zero(self.false_positive_rate)
        excess = alarms - (1 - _with_zero(self.true_positive_rate))
        after = np.argmax(excess >= 0, axis=-1, keepdims=True)
        at, before = _take(excess, after), _take(excess, after - 1)
        low, high = _take(alarms, after - 1), _take(alarms, after)
        return np.asarray(low - before / (at - before) * (high - low))

    def tpr_at_fpr(self, fpr: float) -> Doubles:
        """[...], largest share of fakes found with at most the share `fpr` of false alarms."""
        allowed = self.false_positive_rate <= fpr
        return np.asarray(np.where(allowed, self.true_positive_rate, 0.0).max(axis=-1))

    def balanced_accuracy(self, threshold: float) -> Doubles:
        """[...], mean of the shares of both kinds that are right.

        Args:
            threshold: Scores at or above it are called fake.
        """
        above = int(np.searchsorted(-self.thresholds, -threshold, side="right"))
        if above == 0:
            return np.full(self.fakes.shape[:-1], 0.5)
        found = self.true_positive_rate[..., above - 1]
        alarms = self.false_positive_rate[..., above - 1]
        return np.asarray((found + 1 - alarms) / 2)

    def select(self, chosen: Bools) -> "Counts":
        """Gives some of the sets of weights, `chosen` [B]."""
        return Counts(self.fakes[chosen], self.reals[chosen], self.thresholds)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Videos from the highest score down."""

    order: Ints
    """[N], position of each in the input."""
    fake: Bools
    """[N], in order."""
    last: Ints
    """[K], where each distinct score ends in the order."""
    thresholds: Doubles
    """[K], the distinct scores, descending."""

    @classmethod
    def of(cls, labels: Bools, scores: Floats) -> Self:
        """Puts scores in order.

        Args:
            labels: [N], True for fake.
            scores: [N], finite.
        """
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order].astype(np.float64)
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        return cls(order, labels[order], last, ranked[last])

    def thinned(self, top: int, rest: int) -> "Ranking":
        """Joins neighbouring scores, so that counting with many weights is cheap.

        Args:
            top: Scores above so many reals are joined only if no real lies among them: what
                happens at few false alarms stays exact.
            rest: Into how many steps of equal numbers of reals the others are put.
        """
        reals = np.cumsum(~self.fake)[self.last]
        steps = np.maximum((reals - top) * rest // max(int(reals[-1]) - top, 1), 0)
        marks = np.minimum(reals, top) + steps
        # With the mark before it, a real is told from the fakes that follow it.
        marks += np.append(0, marks[:-1])
        kept = np.append(np.flatnonzero(np.diff(marks)), len(marks) - 1)
        return Ranking(self.order, self.fake, self.last[kept], self.thresholds[kept])

    def count(self, weights: npt.NDArray[np.floating] | None = None) -> Counts:
        """Counts fakes and reals at or above each score.

        Args:
            weights: [..., N] in the ranking's order: how often each counts; once by default.
        """
        ordered = np.ones(len(self.order)) if weights is None else weights
        starts = np.append(0, self.last[:-1] + 1)
        every = np.add.reduceat(ordered, starts, axis=-1)
        fakes = np.add.reduceat(ordered * self.fake, starts, axis=-1)
        reals = every - fakes
        return Counts(_ascending(fakes), _ascending(reals), self.thresholds)


def _ascending(numbers: npt.NDArray[np.floating]) -> Doubles:
    return np.cumsum(numbers, axis=-1, dtype=np.float64)


def _with_zero(rates: Doubles) -> Doubles:
    return np.concatenate([np.zeros_like(rates[..., :1]), rates], axis=-1)


def _take(values: Doubles, places: npt.NDArray[np.intp]) -> Doubles:
    return np.asarray(np.take_along_axis(values, places, axis=-1)[..., 0])
