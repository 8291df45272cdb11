"""What a score or a mask is worth, given the truth.

Labels are booleans, True for fake; a higher score means more likely fake. Each function is exact
under ties: equal scores are one threshold, never an order.

Shapes:
    N: videos or frames   H, W: pixels
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mover_ray.evaluation.ranking import Bools, Floats, Ranking

Bytes = npt.NDArray[np.uint8]

_LEVELS = 256


@dataclass(frozen=True, slots=True, eq=False)
class RocCurve:
    """Error rates at every threshold, from the one that calls nothing fake to the lowest."""

    false_positive_rate: npt.NDArray[np.float64]
    """[K], ascending from 0 to 1: reals called fake."""
    true_positive_rate: npt.NDArray[np.float64]
    """[K], ascending from 0 to 1: fakes called fake."""
    thresholds: npt.NDArray[np.float64]
    """[K], descending from infinity; a score at or above it is called fake."""


def roc_curve(labels: Bools, scores: Floats) -> RocCurve:
    """Gives the ROC curve, a point for each distinct score.

    Args:
        labels: [N], True for fake; both kinds must be there.
        scores: [N], finite.

    Raises:
        ValueError: One kind only, a score that is no number, or lengths that differ.
    """
    ranking = rank(labels, scores)
    counts = ranking.count()
    return RocCurve(
        np.concatenate([[0.0], counts.false_positive_rate]),
        np.concatenate([[0.0], counts.true_positive_rate]),
        np.concatenate([[np.inf], ranking.thresholds]),
    )


def roc_auc(labels: Bools, scores: Floats) -> float:
    """Gives the probability that a random fake scores above a random real; a tie counts half.

    Args:
        labels: [N], True for fake; both kinds must be there.
        scores: [N], finite.

    Raises:
        ValueError: As `roc_curve`.
    """
    return float(rank(labels, scores).count().auc())


def average_precision(labels: Bools, scores: Floats) -> float:
    """Gives the mean precision over the fakes, each at the threshold that first finds it.

    Args:
        labels: [N], True for fake; both kinds must be there.
        scores: [N], finite.

    Raises:
        ValueError: As `roc_curve`.
    """
    return float(rank(labels, scores).count().average_precision())


def equal_error_rate(labels: Bools, scores: Floats) -> float:
    """Gives the rate at which as many reals are called fake as fakes are missed.

    Between two thresholds the ROC curve is a straight line.

    Args:
        labels: [N], True for fake; both kinds must be there.
        scores: [N], finite.

    Raises:
        ValueError: As `roc_curve`.
    """
    return float(rank(labels, scores).count().equal_error_rate())


def tpr_at_fpr(labels: Bools, scores: Floats, fpr: float) -> float:
    """Gives the share of fakes found by the best threshold with at most `fpr` false alarms.

    Not interpolated: it is what a threshold that exists would give on these videos.

    Args:
        labels: [N], True for fake; both kinds must be there.
        scores: [N], finite.
        fpr: Largest share of reals that may be called fake, in [0, 1].

    Raises:
        ValueError: As `roc_curve`.
    """
    return float(rank(labels, scores).count().tpr_at_fpr(fpr))


def balanced_accuracy(labels: Bools, scores: Floats, threshold: float) -> float:
    """Gives the mean of the shares of fakes and of reals that a threshold gets right.

    Args:
        labels: [N], True for fake; both kinds must be there.
        scores: [N], finite.
        threshold: Scores at or above it are called fake; fixed on validation data.

    Raises:
        ValueError: As `roc_curve`.
    """
    return float(rank(labels, scores).count().balanced_accuracy(threshold))


def best_threshold(labels: Bools, scores: Floats) -> float:
    """Gives the threshold that separates the kinds best, by balanced accuracy; for validation data.

    Args:
        labels: [N], True for fake; both kinds must be there.
        scores: [N], finite.

    Raises:
        ValueError: As `roc_curve`.
    """
    ranking = rank(labels, scores)
    counts = ranking.count()
    best = int(np.argmax(counts.true_positive_rate - counts.false_positive_rate))
    # Half-way to the next lower score: as far from the videos of both sides as it can be.
    return float(ranking.thresholds[best : best + 2].mean())


def brier_score(labels: Bools, probabilities: Floats) -> float:
    """Gives the mean squared distance of probabilities from what was true; 0 is best.

    Args:
        labels: [N], True for fake.
        probabilities: [N] of fake, in [0, 1].

    Raises:
        ValueError: Nothing to measure, or lengths that differ.
    """
    _check_probabilities(labels, probabilities)
    return float(np.mean((probabilities - labels) ** 2))


def expected_calibration_error(labels: Bools, probabilities: Floats, bins: int = 15) -> float:
    """Gives how far, on average, a probability is from the share of fakes at it; 0 is best.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.

    Args:
        labels: [N], True for fake.
        probabilities: [N] of fake, in [0, 1].
        bins: Equal parts of [0, 1].

    Raises:
        ValueError: Nothing to measure, or lengths that differ.
    """
    table = reliability(labels, probabilities, bins)
    return float(np.sum(table.share * np.abs(table.observed - table.predicted)))


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Probabilities in bins that are not empty, against what was true."""

    predicted: npt.NDArray[np.float64]
    """[K], mean probability in the bin."""
    observed: npt.NDArray[np.float64]
    """[K], share of fakes in the bin."""
    share: npt.NDArray[np.float64]
    """[K], share of all videos that fall into the bin; sums to 1."""


def reliability(labels: Bools, probabilities: Floats, bins: int = 15) -> Reliability:
    """Gives the points of a reliability diagram.

    Args:
        labels: [N], True for fake.
        probabilities: [N] of fake, in [0, 1].
        bins: Equal parts of [0, 1].

    Raises:
        ValueError: Nothing to measure, or lengths that differ.
    """
    _check_probabilities(labels, probabilities)
    place = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=bins)
    full = counts > 0
    predicted = np.bincount(place, weights=probabilities, minlength=bins)[full] / counts[full]
    observed = np.bincount(place, weights=labels, minlength=bins)[full] / counts[full]
    return Reliability(predicted, observed, counts[full] / len(labels))


def iou(truth: Bools, predicted: Bools) -> float:
    """Gives intersection over union of two masks.

    Args:
        truth: [H, W], not empty: on a real face use the area of the false alarm instead.
        predicted: [H, W].

    Raises:
        ValueError: The truth is empty, or the shapes differ.
    """
    _check_masks(truth, predicted)
    return float((truth & predicted).sum() / (truth | predicted).sum())


def f1_score(truth: Bools, predicted: Bools) -> float:
    """Gives the harmonic mean of precision and recall of a mask's pixels.

    Args:
        truth: [H, W], not empty.
        predicted: [H, W].

    Raises:
        ValueError: The truth is empty, or the shapes differ.
    """
    _check_masks(truth, predicted)
    return float(2 * (truth & predicted).sum() / (truth.sum() + predicted.sum()))


@dataclass(slots=True, eq=False)
class PixelAuc:
    """AUC over the pixels of any number of masks, in constant memory.

    Masks are 8-bit, as results store them, so that counts by level lose nothing.
    """

    _manipulated: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(_LEVELS, dtype=np.int64)
    )
    _untouched: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(_LEVELS, dtype=np.int64)
    )

    def add(self, truth: Bools, predicted: Bytes) -> None:
        """Counts one mask's pixels.

        Args:
            truth: [H, W], True where manipulated.
            predicted: uint8 [H, W].

        Raises:
            ValueError: The shapes differ.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f"masks of different shapes: {truth.shape} and {predicted.shape}")
        self._manipulated += np.bincount(predicted[truth], minlength=_LEVELS)
        self._untouched += np.bincount(predicted[~truth], minlength=_LEVELS)

    def value(self) -> float:
        """Gives the AUC over all pixels so far; a tie counts half.

        Raises:
            ValueError: No manipulated pixel was counted, or nothing else was.
        """
        pairs = int(self._manipulated.sum()) * int(self._untouched.sum())
        if pairs == 0:
            raise ValueError("pixels of one kind only")
        below = np.cumsum(self._untouched) - self._untouched
        # Python's integers: pairs of pixels of a large corpus overflow 64 bits.
        wins = sum(
            int(hits) * (2 * int(lower) + int(ties))
            for hits, lower, ties in zip(self._manipulated, below, self._untouched, strict=True)
        )
        return wins / (2 * pairs)


def rank(labels: Bools, scores: Floats) -> Ranking:
    """Puts scores in order, to be measured in more ways than one.

    Args:
        labels: [N], True for fake; both kinds must be there.
        scores: [N], finite.

    Raises:
        ValueError: As `roc_curve`.
    """
    _check(labels, scores)
    return Ranking.of(labels, scores)


def _check(labels: Bools, scores: Floats) -> None:
    _check_lengths(labels, scores)
    if not np.isfinite(scores).all():
        raise ValueError("a score is not a finite number")
    if labels.all() or not labels.any():
        raise ValueError("real and fake videos are needed, and there is one kind only")


def _check_probabilities(labels: Bools, probabilities: Floats) -> None:
    _check_lengths(labels, probabilities)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("a probability is not in [0, 1]")


def _check_lengths(labels: Bools, values: Floats) -> None:
    if labels.dtype != np.bool_:
        raise ValueError(f"labels must be booleans, got {labels.dtype}")
    if labels.ndim != 1 or labels.shape != values.shape or len(labels) == 0:
        raise ValueError(f"labels {labels.shape} and values {values.shape} do not fit")


def _check_masks(truth: Bools, predicted: Bools) -> None:
    if truth.shape != predicted.shape:
        raise ValueError(f"masks of different shapes: {truth.shape} and {predicted.shape}")
    if not truth.any():
        raise ValueError("the true mask is empty")
