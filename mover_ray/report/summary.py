"""Counts what a run's rows say together, in one pass and in little memory."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mover_ray.status import ANSWERED, Status

#: Columns of `schemas.RESULT` that `Summary.add` reads.
SUMMARY_COLUMNS: Final = (
    "status",
    "error",
    "score",
    "num_tracks",
    "duration_s",
    "trained",
    "model_id",
    "model_sha256",
    *("fetch_ms", "decode_ms", "faces_ms", "score_ms", "bytes_read", "size_bytes"),
)
BINS: Final = 20

_STAGES: Final = ("fetch_ms", "decode_ms", "faces_ms", "score_ms")
_EXAMPLES: Final = 3

#: Gives the score from which a video with so many tracks is suspicious; None if none is stated.
FindThreshold = Callable[[int], float | None]


@dataclass(slots=True)
class Alarm:
    """How many videos lie above the threshold of one false-positive rate."""

    rate: float
    """Share of real videos that lie above it."""
    find: FindThreshold
    """The threshold by number of tracks."""
    judged: int = 0
    """Scored videos for whose number of tracks a threshold is stated."""
    above: int = 0
    """Those of them that reach it."""

    def add(self, scores: np.ndarray, tracks: np.ndarray) -> None:
        """Adds scored videos: scores [N] and numbers of tracks [N]."""
        for number in np.unique(tracks):
            threshold = self.find(int(number))
            if threshold is not None:
                chosen = scores[tracks == number]
                self.judged += len(chosen)
                # Thresholds are written with more digits than a float32 has.
                self.above += int((chosen >= np.float32(threshold)).sum())


@dataclass(slots=True)
class Summary:
    """What all rows say together."""

    alarms: Sequence[Alarm] = ()
    videos: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Videos by status."""
    errors: dict[str, Counter[str]] = field(default_factory=dict)
    """By failed status: error texts, the first words of each."""
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    """[BINS], scored videos by score, equal bins over [0, 1]."""
    video_s: float = 0.0
    """Seconds of video that were looked at."""
    stages_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds of work by stage: `fetch`, `decode`, `faces`, `score`."""
    bytes_read: int = 0
    size_bytes: int = 0
    models: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Videos by id and SHA-256 of the model."""
    untrained: int = 0
    """Videos whose model has random weights."""

    @property
    def scored(self) -> int:
        """Videos with a score."""
        return self.counts[Status.OK]

    @property
    def failed(self) -> int:
        """Videos without an answer."""
        return self.videos - sum(self.counts[status] for status in ANSWERED)

    def add(self, rows: pa.Table) -> None:
        """Adds rows with `SUMMARY_COLUMNS`."""
        self.videos += rows.num_rows
        self.counts.update(rows["status"].to_pylist())
        self._add_errors(rows)
        self._add_scores(rows.filter(pc.field("status") == str(Status.OK)))
        self.video_s += _sum(rows, "duration_s")
        for name in _STAGES:
            self.stages_s[name.removesuffix("_ms")] += _sum(rows, name) / 1000
        self.bytes_read += int(_sum(rows, "bytes_read"))
        self.size_bytes += int(_sum(rows, "size_bytes"))
        ids, hashes = rows["model_id"].to_pylist(), rows["model_sha256"].to_pylist()
        self.models.update(zip(ids, hashes, strict=True))
        self.untrained += rows.num_rows - int(_sum(rows, "trained"))

    def failures(self) -> list[tuple[str, int, list[str]]]:
        """Gives status, number and some texts of each kind of failure, the most frequent first."""
        return [
            (status, count, [text for text, _ in self.errors[status].most_common(_EXAMPLES)])
            for status, count in self.counts.most_common()
            if status not in ANSWERED
        ]

    def _add_errors(self, rows: pa.Table) -> None:
        failed = rows.filter(pc.invert(pc.is_in(rows["status"], pa.array(map(str, ANSWERED)))))
        texts = zip(failed["status"].to_pylist(), failed["error"].to_pylist(), strict=True)
        for status, text in texts:
            known = self.errors.setdefault(status, Counter())
            if text and (text in known or len(known) < 100 * _EXAMPLES):
                known[text] += 1

    def _add_scores(self, rows: pa.Table) -> None:
        scores = rows["score"].to_numpy()
        places = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
        self.histogram += np.bincount(places, minlength=BINS)
        for alarm in self.alarms:
            alarm.add(scores, rows["num_tracks"].to_numpy())


def summarise(tables: Iterable[pa.Table], alarms: Sequence[Alarm] = ()) -> Summary:
    """Gives the summary of all rows.

    Args:
        tables: Rows with `SUMMARY_COLUMNS`, consumed as a stream.
        alarms: Counted along.
    """
    summary = Summary(alarms)
    for rows in tables:
        summary.add(rows)
    return summary


def _sum(rows: pa.Table, name: str) -> float:
    return float(pc.sum(rows[name], min_count=0).as_py())
