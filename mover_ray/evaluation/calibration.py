"""From validation results to probabilities and thresholds.

What is fitted here is a function of the strongest track's logit and of the number of tracks;
`models.calibration` applies it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from sklearn.isotonic import IsotonicRegression

from mover_ray.errors import ConfigError
from mover_ray.evaluation.ranking import Bools, Doubles, Floats, Ints
from mover_ray.models.calibration import LEAST_REAL_VIDEOS, Calibration, Threshold

Method = Literal["temperature", "isotonic"]
METHODS: Final = ("temperature", "isotonic")

#: False-positive rates at which thresholds are stated (design, decision 11).
RATES: Final = (0.01, 0.05)
#: Least numbers of tracks of the groups that have thresholds of their own.
TRACK_GROUPS: Final = (1, 2, 3, 5)

#: Of each kind: fewer say nothing of a probability.
LEAST_VIDEOS: Final = 10

# Newton's method doubles the digits each time; a dozen steps are plenty.
_STEPS = 50
_TOLERANCE = 1e-10
_LEAST_SLOPE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Scored validation videos."""

    fake: Bools
    """[N], the truth."""
    logits: Doubles
    """[N], of the strongest track, before calibration."""
    num_tracks: Ints
    """[N], at least 1."""


def fit(sample: Sample, method: Method = "temperature") -> Calibration:
    """Fits a calibration to validation videos.

    Real and fake videos weigh the same together, however many there are of each: a score of
    0.5 stands for even odds where both kinds are equally frequent.

    Args:
        sample: Of validation data alone.
        method: `temperature` fits slope, shift and the weight of the number of tracks;
            `isotonic` bends the result of that by a rising curve, and needs many videos.

    Raises:
        ConfigError: There are too few videos, or the model ranks reals above fakes.
    """
    fewest = min(int(sample.fake.sum()), int((~sample.fake).sum()))
    if fewest < LEAST_VIDEOS:
        raise ConfigError(
            f"too few scored validation videos of one kind: `{fewest}`",
            hint=f"{LEAST_VIDEOS} real and {LEAST_VIDEOS} fake ones are needed",
        )
    scaled = _fit_scaling(sample)
    return _bend(scaled, sample) if method == "isotonic" else scaled


def probabilities(calibration: Calibration, sample: Sample) -> Doubles:
    """Gives the calibrated scores [N], as a run would store them: in single precision."""
    pairs = zip(sample.logits.tolist(), sample.num_tracks.tolist(), strict=True)
    scores = np.array([calibration.apply(logit, tracks) for logit, tracks in pairs])
    return scores.astype(np.float32).astype(np.float64)


def find_thresholds(
    scores: Doubles, sample: Sample, rates: Sequence[float] = RATES
) -> tuple[Threshold, ...]:
    """Gives the thresholds at stated false-positive rates by number of tracks.

    Args:
        scores: [N], calibrated.
        sample: The same N videos.
        rates: Shares of real videos that may be called fake.
    """
    return tuple(
        Threshold(
            false_positive_rate=rate,
            min_tracks=least,
            real_videos=int(chosen.sum()),
            score=_threshold(scores[chosen], rate),
        )
        for least, chosen in _groups(sample)
        for rate in rates
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarms:
    """What a threshold means for who watches an archive."""

    threshold: Threshold
    found: float
    """Share of the fakes at or above it."""
    per_hit: float | None
    """False alarms for each fake that is found; None where none is."""
    prevalence: float
    """Share of the videos that are fake."""

    def sentence(self) -> str:
        """Says it in plain words."""
        at = f"at 1 fake in {1 / self.prevalence:,.0f} videos"
        tracks = f"{self.threshold.min_tracks} or more faces"
        if self.threshold.score is None:
            return (
                f"{tracks}: no threshold at {self.threshold.false_positive_rate:.0%} false "
                f"alarms, only {self.threshold.real_videos:,} real videos stand behind it"
            )
        if self.per_hit is None:
            return f"{tracks}: a score of {self.threshold.score:.3f} finds no fake"
        return (
            f"{tracks}: {at}, a score of {self.threshold.score:.3f} finds {self.found:.0%} of the "
            f"fakes and gives {self.per_hit:,.1f} false alarms for each hit"
        )


def count_alarms(
    thresholds: Sequence[Threshold], scores: Doubles, sample: Sample, prevalence: float = 1e-3
) -> list[Alarms]:
    """Says for each threshold what it finds, and at what price.

    Args:
        thresholds: Of `find_thresholds`.
        scores: [N], calibrated.
        sample: The same N videos.
        prevalence: Share of the videos of an archive that are fake, above 0.
    """
    groups = dict(_groups(sample, fake=True))
    lines = []
    for one in thresholds:
        fakes = scores[groups[one.min_tracks]]
        found = 0.0
        if one.score is not None and len(fakes):
            found = float((fakes >= one.score).mean())
        per_hit = false_alarms_per_hit(one.false_positive_rate, found, prevalence)
        lines.append(Alarms(threshold=one, found=found, per_hit=per_hit, prevalence=prevalence))
    return lines


def false_alarms_per_hit(fpr: float, tpr: float, prevalence: float) -> float | None:
    """Gives how many real videos are called fake for each fake that is; None without a hit."""
    hits = tpr * prevalence
    return fpr * (1 - prevalence) / hits if hits > 0 else None


def _groups(sample: Sample, *, fake: bool = False) -> Iterator[tuple[int, Bools]]:
    """Gives the videos of one kind by number of tracks."""
    for least, beyond in zip(TRACK_GROUPS, (*TRACK_GROUPS[1:], math.inf), strict=True):
        inside = (sample.num_tracks >= least) & (sample.num_tracks < beyond)
        yield least, inside & (sample.fake == fake)


def _threshold(reals: Doubles, rate: float) -> float | None:
    """Gives the lowest score that at most the share `rate` of reals reach."""
    if len(reals) < LEAST_REAL_VIDEOS:
        return None
    allowed = math.floor(rate * len(reals))
    first_refused = np.sort(reals)[len(reals) - allowed - 1]
    # The next number in single precision, in which scores are stored.
    score = float(np.nextafter(np.float32(first_refused), np.float32(2)))
    return score if score <= 1 else None


def _weights(fake: Bools) -> Doubles:
    """Gives weights [N] under which both kinds weigh a half."""
    share = fake.mean()
    return np.asarray(np.where(fake, 0.5 / share, 0.5 / (1 - share)) / len(fake))


def _fit_scaling(sample: Sample) -> Calibration:
    """Fits slope, shift and track penalty; a penalty below 0 is none."""
    tracks = np.log(sample.num_tracks)
    ones = np.ones(len(tracks))
    if np.ptp(tracks) > 0:
        slope, bias, per_track = _logistic([sample.logits, ones, tracks], sample.fake)
        if per_track < 0:
            return _calibration(slope, bias, -per_track)
    slope, bias = _logistic([sample.logits, ones], sample.fake)
    return _calibration(slope, bias, 0.0)


def _calibration(slope: float, bias: float, penalty: float) -> Calibration:
    if slope < _LEAST_SLOPE:
        raise ConfigError(
            f"the model ranks real videos above fake ones, or all alike: slope `{slope:.3g}`",
            hint="no calibration can mend that; look at `evaluate` on the same results",
        )
    return Calibration(temperature=1 / slope, bias=bias, track_penalty=penalty)


def _logistic(columns: list[Doubles], fake: Bools) -> list[float]:
    """Fits a logistic regression by Newton's method.

    Source: Platt's targets, Probabilistic outputs for support vector machines, 1999: they
    keep the slope finite where the scores separate the kinds without a mistake.

    Args:
        columns: Each [N].
        fake: [N].
    """
    inputs = np.stack(columns, axis=1)
    fakes, reals = int(fake.sum()), int((~fake).sum())
    targets = np.where(fake, (fakes + 1) / (fakes + 2), 1 / (reals + 2))
    weights = _weights(fake)

    def loss(coefficients: Floats) -> float:
        z = inputs @ coefficients
        return float((weights * (np.logaddexp(0, z) - targets * z)).sum())

    coefficients = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        predicted = 0.5 * (1 + np.tanh(inputs @ coefficients / 2))
        gradient = inputs.T @ (weights * (predicted - targets))
        curvature = (inputs * (weights * predicted * (1 - predicted))[:, None]).T @ inputs
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        # Far from the optimum a whole step may climb; half of it, often enough, does not.
        while loss(coefficients - step) > loss(coefficients) and np.abs(step).max() > _TOLERANCE:
            step = step / 2
        coefficients = coefficients - step
        if np.abs(step).max() < _TOLERANCE:
            break
    return [float(one) for one in coefficients]


def _bend(scaled: Calibration, sample: Sample) -> Calibration:
    """Puts a rising curve in the place of the sigmoid."""
    pairs = zip(sample.logits.tolist(), sample.num_tracks.tolist(), strict=True)
    inputs = np.array([scaled.logit(logit, tracks) for logit, tracks in pairs])
    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    curve.fit(inputs, sample.fake.astype(np.float64), sample_weight=_weights(sample.fake))
    return Calibration(
        temperature=scaled.temperature,
        bias=scaled.bias,
        track_penalty=scaled.track_penalty,
        curve_logits=tuple(float(one) for one in curve.X_thresholds_),
        curve_scores=tuple(float(one) for one in curve.y_thresholds_),
    )
