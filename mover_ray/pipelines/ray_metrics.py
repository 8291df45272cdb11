"""What a run on Ray tells Prometheus; the agent of each Ray node exports it.

Names begin with `ray_mover_` once exported. Labels are statuses and stages alone:
an id of a run or a video would make a new time series each.
"""

import functools
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from ray.util import metrics

#: Columns that hold the time of a stage, in milliseconds.
_STAGES = ("fetch", "decode", "faces", "score", "forge", "encode")

#: Lists of crops, and of faces with their frames, in the tables that runs commit.
_CROPS, _FACES = "crops", "faces"

#: Less of the work says too little about the rest.
_FORECAST_FROM = 0.05


@dataclass(frozen=True, slots=True)
class Measures:
    """What committed rows say about the work behind them."""

    videos: Mapping[str, int]
    """Rows by status."""
    retries: int
    """Tries beyond the first, of all videos."""
    frames: int
    """Crops of faces that were scored or stored."""
    bytes_read: int
    stage_s: Mapping[str, float]
    """Seconds by stage, of those that the table has a column for."""

    @classmethod
    def of(cls, rows: pa.Table) -> "Measures":
        """Gives the measures of rows; what a table has no column for counts nothing."""
        statuses: list[str] = rows["status"].to_pylist()
        times = {stage: _total(rows, f"{stage}_ms") / 1000 for stage in _STAGES}
        attempts = int(_total(rows, "attempts"))
        return cls(
            videos=Counter(statuses),
            retries=max(0, attempts - rows.num_rows) if attempts else 0,
            frames=_count_frames(rows),
            bytes_read=int(_total(rows, "bytes_read")),
            stage_s={stage: seconds for stage, seconds in times.items() if seconds},
        )


def _total(rows: pa.Table, name: str) -> float:
    if name not in rows.column_names:
        return 0.0
    return float(pc.sum(rows[name]).as_py() or 0)


def _count_frames(rows: pa.Table) -> int:
    if _CROPS in rows.column_names:
        return int(pc.sum(pc.list_value_length(rows[_CROPS])).as_py() or 0)
    if _FACES not in rows.column_names:
        return 0
    frames = pc.struct_field(pc.list_flatten(rows[_FACES]), "frames")
    return int(pc.sum(pc.list_value_length(frames)).as_py() or 0)


def count(measures: Measures) -> None:
    """Adds the measures of one committed part to the counters of this Ray worker."""
    counters = _counters()
    for status, videos in measures.videos.items():
        counters["videos"].inc(videos, {"status": status})
    for stage, seconds in measures.stage_s.items():
        counters["stage_seconds"].inc(seconds, {"stage": stage})
    counters["parts"].inc(1)
    for name in ("retries", "frames", "bytes_read"):
        amount = getattr(measures, name)
        if amount:  # Ray refuses to add nothing
            counters[name].inc(amount)


@functools.cache
def _counters() -> dict[str, metrics.Counter]:
    counter = metrics.Counter
    return {
        "videos": counter("mover_videos", "Committed rows by status", ("status",)),
        "parts": counter("mover_parts", "Committed part files"),
        "retries": counter("mover_retries", "Tries of videos beyond the first"),
        "frames": counter("mover_frames", "Crops of faces that were scored or stored"),
        "bytes_read": counter("mover_bytes_read", "Bytes of videos that were read"),
        "stage_seconds": counter("mover_stage_seconds", "Time in each stage", ("stage",)),
    }


@dataclass(frozen=True, slots=True)
class Outlook:
    """How far a run is and when it will end, as of one moment."""

    left: int
    """Videos without a row."""
    eta_s: float | None
    """Seconds until the end at the rate so far; null while there is none."""
    lag_s: float | None
    """Seconds that the end is later now than first forecast; negative if sooner."""


class Forecast:
    """Forecasts a run's end, and remembers the first forecast that had a ground."""

    def __init__(self, videos: int, started_s: float) -> None:
        """Begins with so many videos to do, at a time in seconds."""
        self._videos = videos
        self._started_s = started_s
        self._done = 0
        self._first_end_s: float | None = None

    def advance(self, done: int, now_s: float) -> Outlook:
        """Counts newly committed videos and looks ahead."""
        self._done += done
        left = max(0, self._videos - self._done)
        if not self._done or self._done < _FORECAST_FROM * self._videos:
            return Outlook(left, None, None)
        eta_s = left * (now_s - self._started_s) / self._done
        end_s = now_s + eta_s
        if self._first_end_s is None:
            self._first_end_s = end_s
        return Outlook(left, eta_s, end_s - self._first_end_s)


class RunGauges:
    """What the driver knows of its run: the queue, the ETA and when a row last came."""

    def __init__(self, videos: int) -> None:
        """Shows a run with so many videos to do."""
        self._forecast = Forecast(videos, time.monotonic())
        self._left = metrics.Gauge("mover_videos_left", "Videos of the run without a row")
        self._eta = metrics.Gauge("mover_eta_seconds", "Time to the end at the rate so far")
        self._lag = metrics.Gauge("mover_eta_lag_seconds", "Delay against the first forecast")
        self._last = metrics.Gauge("mover_last_commit_time_seconds", "Unix time of the last part")
        self._left.set(videos)
        self._last.set(time.time())  # a run that never commits must be seen, too

    def advance(self, counts: Mapping[str, int]) -> None:
        """Shows newly committed videos, counted by status."""
        outlook = self._forecast.advance(sum(counts.values()), time.monotonic())
        self._left.set(outlook.left)
        self._last.set(time.time())
        if outlook.eta_s is not None and outlook.lag_s is not None:
            self._eta.set(outlook.eta_s)
            self._lag.set(outlook.lag_s)
