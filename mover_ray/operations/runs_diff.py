"""Compares the rows of two runs: which videos, which outcomes, which scores."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mover_ray.config import check_at_least
from mover_ray.operations.runs import open_run
from mover_ray.pipelines.destination import Destination, attempt_of
from mover_ray.pipelines.parts import read_table

_COLUMNS = ("video_id", "uri", "status", "score")


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffOptions:
    """What `runs diff` was asked to do."""

    first: str
    """Destination of one run."""
    second: str
    """Destination of the other."""
    tolerance: float = 0.0
    """Scores that differ by no more count as equal."""
    examples: int = 20
    """Videos to name, those with the largest differences first."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "tolerance", 0.0)
        check_at_least(self, "examples", 0)


@dataclass(frozen=True, slots=True)
class Difference:
    """One video of which the runs say different things."""

    uri: str
    first_status: str
    second_status: str
    first_score: float | None
    second_score: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDiff:
    """What two runs say of the same videos."""

    only_first: int
    """Videos of the first run alone. A video is one version of one object."""
    only_second: int
    common: int
    moved: dict[str, int]
    """Videos by `status -> status`, where the status is not the same."""
    rescored: int
    """Videos of one status whose scores differ by more than the tolerance."""
    largest: float
    """Largest difference of two scores."""
    examples: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Whether the runs say the same of the same videos."""
        return not (self.only_first or self.only_second or self.moved or self.rescored)

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        return {**asdict(self), "equal": self.equal}


def diff_runs(options: DiffOptions) -> RunDiff:
    """Compares two runs, finished or not, by the rows that count.

    Raises:
        LocationError: There is no run at one of the places.
    """
    tables = [_rows(open_run(dest)) for dest in (options.first, options.second)]
    ids = [table["video_id"].to_numpy() for table in tables]
    _, *places = np.intersect1d(ids[0], ids[1], assume_unique=True, return_indices=True)
    first, second = (table.take(pa.array(at)) for table, at in zip(tables, places, strict=True))
    statuses = [_strings(table["status"]) for table in (first, second)]
    gaps = _gaps(first["score"].to_numpy(), second["score"].to_numpy())
    moved = statuses[0] != statuses[1]
    rescored = ~moved & (gaps > options.tolerance)
    order = np.argsort(-np.where(moved, np.inf, gaps), kind="stable")
    shown = order[(moved | rescored)[order]][: options.examples]
    pairs = Counter(zip(statuses[0][moved], statuses[1][moved], strict=True))
    return RunDiff(
        only_first=len(ids[0]) - len(first),
        only_second=len(ids[1]) - len(second),
        common=len(first),
        moved={f"{old} -> {new}": count for (old, new), count in sorted(pairs.items())},
        rescored=int(rescored.sum()),
        largest=float(gaps[np.isfinite(gaps)].max(initial=0.0)),
        examples=tuple(_difference(first, second, int(place)) for place in shown),
    )


def _rows(destination: Destination) -> pa.Table:
    """Gives the columns to compare, one row a video, those of the latest attempt."""
    tables = []
    for name in sorted(destination.counting_parts(), key=attempt_of):
        with destination.open_part(name) as file:
            present = set(pa.parquet.read_schema(file).names)
        tables.append(read_table(destination, name, [one for one in _COLUMNS if one in present]))
    empty = pa.schema(
        [("video_id", pa.int64()), ("uri", pa.string()), ("status", pa.string())]
    ).empty_table()
    rows = pa.concat_tables([empty, *tables], promote_options="default")
    if "score" not in rows.column_names:  # of crops there are none
        rows = rows.append_column("score", pa.nulls(rows.num_rows, pa.float32()))
    # Of equal ids `unique` takes the first: the latest attempt's, read backwards.
    backwards = rows["video_id"].to_numpy()[::-1]
    last = len(backwards) - 1 - np.unique(backwards, return_index=True)[1]
    return rows.take(pa.array(last))


def _gaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Gives |first - second|; 0 where both are missing, infinity where one is."""
    absent = np.isnan(first) & np.isnan(second)
    gaps = np.abs(first - second)
    return np.where(absent, 0.0, np.where(np.isnan(gaps), np.inf, gaps))


def _strings(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(column.to_pylist(), dtype=object)


def _difference(first: pa.Table, second: pa.Table, place: int) -> Difference:
    old, new = (table.slice(place, 1).to_pylist()[0] for table in (first, second))
    return Difference(old["uri"], old["status"], new["status"], old["score"], new["score"])
