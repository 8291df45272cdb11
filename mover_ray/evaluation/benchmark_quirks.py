"""The figures of the field's usual benchmark, each quirk under its name; off by default.

Nothing here is a measure of a detector: it exists so that published figures of that kind can
be set beside figures of the same kind. `protocols.PROTOCOLS` names the quirks.
"""

from dataclasses import dataclass

import numpy as np

from mover_ray.evaluation.aggregate import Figures, measure_frames
from mover_ray.evaluation.bootstrap import BootstrapConfig
from mover_ray.evaluation.ranking import Doubles, Ints
from mover_ray.evaluation.videos import Videos, Words


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """F scored frames of any number of videos."""

    ids: Ints
    """[F], `video_id`."""
    scores: Doubles
    """[F], probability of manipulation."""

    def of(self, videos: Videos) -> tuple[Ints, Doubles]:
        """Gives the row in `videos` and the score of each frame of theirs."""
        order = np.argsort(videos.ids)
        places = np.searchsorted(videos.ids, self.ids, sorter=order)
        rows = order[np.minimum(places, len(order) - 1)]
        known = videos.ids[rows] == self.ids
        return rows[known], self.scores[known]


def measure_pooled(videos: Videos, frames: Frames, config: BootstrapConfig) -> Figures:
    """Measures every frame as if it were a video of its own (`frames-count-alone`)."""
    rows, scores = frames.of(videos)
    return measure_frames(videos.fake[rows], scores, _close_gaps(videos.clusters()[rows]), config)


def measure_merged(
    videos: Videos, frames: Frames, names: Words, config: BootstrapConfig
) -> Figures:
    """Measures the mean over all frames of all videos of one name (`names-merge`).

    Four manipulations of one video become one video, which is fake if all of them are.

    Args:
        videos: N videos.
        frames: Their frames, and maybe those of others.
        names: [N], file name of each video, without folder and ending.
        config: Of the intervals.
    """
    rows, scores = frames.of(videos)
    _, groups = np.unique(names[rows].astype(str), return_inverse=True)
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=scores) / counts
    fake = np.bincount(groups, weights=videos.fake[rows]) == counts
    return measure_frames(fake, means, np.arange(len(means)), config)


def _close_gaps(clusters: Ints) -> Ints:
    return np.asarray(np.unique(clusters, return_inverse=True)[1], dtype=np.int64)
