"""From the strongest track's logit to a probability, and the thresholds that go with it."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mover_ray.config import check_at_least, check_range
from mover_ray.errors import ConfigError, InputError
from mover_ray.status import Status

#: Real videos that must stand behind a stated threshold: at 1 % false positives,
#: 300 of them give three expected alarms (design, decision 11).
LEAST_REAL_VIDEOS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """logit(p) = logit / temperature + bias - track_penalty * ln(number of tracks).

    The identity by default. Where there is a curve, p is read from it instead.
    """

    temperature: float = 1.0
    """Divides the logit; above 1 it makes scores less certain."""
    bias: float = 0.0
    """Added to the logit; below 0 it makes fewer videos suspicious."""
    track_penalty: float = 0.0
    """Undoes the rise of a maximum over many faces; 0 leaves it."""
    curve_logits: tuple[float, ...] = ()
    """Where the curve's points lie, ascending; empty for no curve."""
    curve_scores: tuple[float, ...] = ()
    """The probability at each of them, never falling; on straight lines between."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a value that would not keep the order of scores."""
        check_range(self, "temperature", 1e-3, 1e3)
        check_range(self, "bias", -1e3, 1e3)
        check_range(self, "track_penalty", 0.0, 1e3)
        if len(self.curve_logits) != len(self.curve_scores):
            raise ConfigError("curve_logits and curve_scores differ in length")
        if not (_rises(self.curve_logits) and _rises((0.0, *self.curve_scores, 1.0))):
            raise ConfigError("curve_logits or curve_scores fall, or leave their range")

    def apply(self, logit: float, num_tracks: int) -> float:
        """Gives the probability of manipulation.

        Args:
            logit: Largest logit of the video's eligible tracks.
            num_tracks: Number of those tracks, at least 1.

        Raises:
            InputError: `logit` is not finite (status `model_error`).
        """
        if not math.isfinite(logit):
            raise InputError(Status.MODEL_ERROR, f"the model gave no finite logit: {logit}")
        scaled = self.logit(logit, num_tracks)
        if self.curve_logits:
            return _interpolate(scaled, self.curve_logits, self.curve_scores)
        return _sigmoid(scaled)

    def logit(self, logit: float, num_tracks: int) -> float:
        """Gives the logit after temperature, bias and track penalty, before any curve.

        Args:
            logit: Largest logit of the video's eligible tracks, finite.
            num_tracks: Number of those tracks, at least 1.
        """
        if num_tracks < 1:
            raise ValueError(f"a score needs a track: {num_tracks}")
        penalty = self.track_penalty * math.log(num_tracks)
        return logit / self.temperature + self.bias - penalty


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """From which score on a video with so many tracks is to be called manipulated."""

    false_positive_rate: float
    """Share of real videos at or above `score`, for example 0.01."""
    min_tracks: int = 1
    """Least number of eligible tracks of the videos it was measured on."""
    real_videos: int = 0
    """How many real videos it was measured on."""
    score: float | None = None
    """The threshold; None where fewer than 300 real videos stood behind it, or where so many
    of them have the highest score there is that no threshold keeps to the rate."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a threshold that nothing stands behind."""
        check_range(self, "false_positive_rate", 0.0, 1.0)
        check_at_least(self, "min_tracks", 1)
        check_at_least(self, "real_videos", 0)
        if self.score is None:
            return
        check_range(self, "score", 0.0, 1.0)
        if self.real_videos < LEAST_REAL_VIDEOS:
            raise ConfigError(
                f"a threshold needs {LEAST_REAL_VIDEOS} real videos: `{self.real_videos}`"
            )


def find_threshold(
    thresholds: tuple[Threshold, ...], false_positive_rate: float, num_tracks: int
) -> float | None:
    """Gives the score for this rate and number of tracks, None if none is stated."""
    fitting = [
        threshold
        for threshold in thresholds
        if threshold.false_positive_rate == false_positive_rate
        and threshold.min_tracks <= num_tracks
    ]
    if not fitting:
        return None
    return max(fitting, key=lambda threshold: threshold.min_tracks).score


def _rises(values: Sequence[float]) -> bool:
    """Whether values are finite and none is below the one before."""
    return all(map(math.isfinite, values)) and all(a <= b for a, b in pairwise(values))


def _interpolate(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Reads a curve at `x`; beyond its ends it is level."""
    after = bisect.bisect_right(xs, x)
    if after in (0, len(xs)):
        return ys[max(after - 1, 0)]
    share = (x - xs[after - 1]) / (xs[after] - xs[after - 1])
    return ys[after - 1] + share * (ys[after] - ys[after - 1])


def _sigmoid(x: float) -> float:
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    return math.exp(x) / (1.0 + math.exp(x))
