"""What scores are worth on a set of videos: every figure of one line of a table."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from mover_ray.evaluation.bootstrap import (
    BootstrapConfig,
    Estimate,
    Metric,
    estimate,
    mean_interval,
)
from mover_ray.evaluation.metrics import expected_calibration_error
from mover_ray.evaluation.ranking import Bools, Counts, Doubles, Ints
from mover_ray.evaluation.videos import Videos

#: What a video without a score is counted as in `auc_all`.
UNDECIDED = 0.5

_RANKED: dict[str, Metric] = {
    "auc": Counts.auc,
    "ap": Counts.average_precision,
    "eer": Counts.equal_error_rate,
    "tpr_at_1_percent": partial(Counts.tpr_at_fpr, fpr=0.01),
    "tpr_at_0.1_percent": partial(Counts.tpr_at_fpr, fpr=0.001),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """One line: how many videos there were, and how well they were told apart."""

    fakes: int
    """Fake videos, scored or not."""
    reals: int
    """Real videos, scored or not."""
    scored: int
    """Videos with a score."""
    unscored: Mapping[str, int]
    """Videos without one, by status."""
    people: int
    """Independent draws behind the intervals: people, and videos of nobody known."""
    metrics: Mapping[str, Estimate]
    """By name; empty where one of the kinds has no score."""

    @property
    def coverage(self) -> float:
        """Share of the videos that have a score."""
        return self.scored / (self.fakes + self.reals)

    def as_json(self) -> dict[str, Any]:
        """Gives the line as the report holds it."""
        return {
            **asdict(self),
            "unscored": dict(self.unscored),
            "coverage": self.coverage,
            "metrics": {name: asdict(one) for name, one in self.metrics.items()},
        }


def measure(videos: Videos, config: BootstrapConfig, threshold: float | None = None) -> Figures:
    """Measures scores against the truth.

    Args:
        videos: At least one.
        config: Of the intervals.
        threshold: Fixed on validation data; without it there is no balanced accuracy.
    """
    scored = videos.select(videos.scored)
    missing = Counter(str(word) for word in videos.status[~videos.scored])
    return Figures(
        fakes=int(videos.fake.sum()),
        reals=int((~videos.fake).sum()),
        scored=len(scored),
        unscored=dict(sorted(missing.items())),
        people=len(np.unique(videos.clusters())),
        metrics=_metrics(videos, scored, config, threshold) if _both_kinds(scored.fake) else {},
    )


def measure_frames(
    fake: Bools, scores: Doubles, clusters: Ints, config: BootstrapConfig
) -> Figures:
    """Measures the scores of single frames, which no column may mix with those of videos.

    Args:
        fake: [N], the truth of each frame: that of its video.
        scores: [N], of each frame.
        clusters: [N], whose frames belong together, numbered from 0.
        config: Of the intervals.
    """
    metrics = estimate(fake, scores, clusters, _RANKED, config) if _both_kinds(fake) else {}
    return Figures(
        fakes=int(fake.sum()),
        reals=int((~fake).sum()),
        scored=len(fake),
        unscored={},
        people=len(np.unique(clusters)),
        metrics=metrics,
    )


def _metrics(
    videos: Videos, scored: Videos, config: BootstrapConfig, threshold: float | None
) -> dict[str, Estimate]:
    labels, scores, clusters = scored.fake, scored.scores, scored.clusters()
    wanted = dict(_RANKED)
    if threshold is not None:
        wanted["balanced_accuracy"] = partial(Counts.balanced_accuracy, threshold=threshold)
    found = estimate(labels, scores, clusters, wanted, config)
    complete = len(scored) == len(videos)
    found["auc_all"] = found["auc"] if complete else _auc_of_all(videos, config)
    found["brier"] = mean_interval((scores - labels) ** 2, clusters, config)
    # Resampling adds to this error what it removes from the sample: no interval is honest.
    found["ece"] = Estimate(expected_calibration_error(labels, scores))
    return found


def _auc_of_all(videos: Videos, config: BootstrapConfig) -> Estimate:
    """Gives the AUC with every video counted, those without a score as undecided."""
    filled: Doubles = np.where(videos.scored, videos.scores, UNDECIDED)
    counted = estimate(videos.fake, filled, videos.clusters(), {"auc": Counts.auc}, config)
    return counted["auc"]


def _both_kinds(fake: Bools) -> bool:
    return bool(fake.any() and not fake.all())
