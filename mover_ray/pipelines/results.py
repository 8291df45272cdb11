"""Reads the results of a run a row group at a time, so that no archive is too large.

Which part files count is the destination's word (`Destination.counting_parts`). Before a run
has finished, a video may have a row of an older attempt beside that of a later one; readers
see the later one only.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mover_ray.errors import LocationError, StorageError
from mover_ray.pipelines.destination import Destination, attempt_of
from mover_ray.pipelines.parts import read_table
from mover_ray.schemas import RESULT
from mover_ray.status import Status
from mover_ray.storage import normalise

Ids = npt.NDArray[np.int64]
Row = dict[str, Any]

#: Every column of a result that is no list of faces, segments or masks.
SCALARS = tuple(name for name in RESULT.names if name not in ("faces", "segments", "masks"))

_READERS = 16
_SHOWN_MATCHES = 3


@dataclass(frozen=True, slots=True)
class Results:
    """The rows that count of one run of `score`; what is read is read when it is asked for."""

    destination: Destination
    """Where they lie."""
    identity: Mapping[str, str]
    """What they depend on: `model` (SHA-256) and `configuration`."""
    success: Mapping[str, Any] | None
    """The record of the finished run; None before."""
    parts: tuple[str, ...]
    """Names of the files that count, those of the latest attempt first."""

    @property
    def finished(self) -> bool:
        """Whether the run was proved complete."""
        return self.success is not None

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Gives the rows a row group at a time, in no order.

        Args:
            columns: Names of `schemas.RESULT`; no other column is read.
        """
        wanted = list(dict.fromkeys(["video_id", *columns]))
        newer: Ids = np.zeros(0, np.int64)
        of_attempt: list[Ids] = []
        attempt: int | None = None
        for name in self.parts:
            if attempt != attempt_of(name):
                attempt = attempt_of(name)
                newer = np.concatenate([newer, *of_attempt])
                of_attempt = []
            for rows in self._row_groups(name, wanted):
                if self.finished:  # proved: no video has two rows
                    yield rows.select(list(columns))
                    continue
                of_attempt.append(rows["video_id"].to_numpy())
                kept = pa.array(~np.isin(of_attempt[-1], newer))
                yield rows.filter(kept).select(list(columns))

    def take(self, video_ids: Collection[int], columns: Sequence[str] | None = None) -> list[Row]:
        """Gives the rows of some videos, in the order asked for; unknown ids give none.

        Args:
            video_ids: A few; their rows are held in memory.
            columns: Names of `schemas.RESULT`; None takes all.
        """
        wanted = np.array(list(video_ids), dtype=np.int64)
        found: dict[int, Row] = {}
        for name in self._parts_with(wanted):
            for row in self._rows_of(name, wanted, columns):
                found.setdefault(row["video_id"], row)
        rows = [found[video_id] for video_id in wanted.tolist() if video_id in found]
        if columns is not None and "video_id" not in columns:
            for row in rows:
                row.pop("video_id", None)
        return rows

    def find(self, video: str) -> list[int]:
        """Gives the ids of the videos that a text names.

        Args:
            video: An id, a uri, or the end of one from a slash on, such as `a.mp4`.
        """
        exact: list[int] = []
        ending: list[int] = []
        number = int(video) if video.isascii() and video.isdigit() else None
        for rows in self.tables(("video_id", "uri")):
            if number is not None:
                exact += rows.filter(pc.field("video_id") == number)["video_id"].to_pylist()
            exact += rows.filter(pc.field("uri") == video)["video_id"].to_pylist()
            ends = pc.ends_with(rows["uri"], f"/{video}")
            ending += rows.filter(ends)["video_id"].to_pylist()
        return sorted(set(exact or ending))

    def row(self, video: str, columns: Sequence[str] | None = None) -> Row:
        """Gives the row of the one video that a text names, see `find`.

        Raises:
            LocationError: No video has that name, or several have.
        """
        found = self.find(video)
        if not found:
            found = self.find(normalise(video))
        if not found:
            raise LocationError(
                f"no such video in the results: `{video}`",
                hint="name it by its id, its uri or its file name",
            )
        if len(found) > 1:
            some = ", ".join(f"`{one}`" for one in found[:_SHOWN_MATCHES])
            raise LocationError(
                f"{len(found)} videos have this name: `{video}`",
                hint=f"name one by its uri, or by its id: {some}",
            )
        return self.take(found, columns)[0]

    def _row_groups(self, name: str, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        try:
            with self.destination.open_part(name) as file:
                parquet = pq.ParquetFile(file)
                for group in range(parquet.num_row_groups):
                    yield parquet.read_row_group(group, columns=columns)
        except pa.ArrowInvalid as error:
            raise LocationError(
                f"a part is damaged: `{self.destination.part_uri(name)}`",
                hint="`mover-ray runs verify` names every damaged part",
            ) from error

    def _parts_with(self, wanted: Ids) -> list[str]:
        """Names the parts that hold one of the videos, the latest attempt's first."""

        def holds(name: str) -> bool:
            ids = read_table(self.destination, name, ("video_id",))["video_id"].to_numpy()
            return bool(np.isin(wanted, ids).any())

        with ThreadPoolExecutor(_READERS) as pool:
            flags = list(pool.map(holds, self.parts))
        return [name for name, flag in zip(self.parts, flags, strict=True) if flag]

    def _rows_of(self, name: str, wanted: Ids, columns: Sequence[str] | None) -> Iterator[Row]:
        needed = None if columns is None else list(dict.fromkeys(["video_id", *columns]))
        for rows in self._row_groups(name, needed):
            mask = np.isin(rows["video_id"].to_numpy(), wanted)
            if mask.any():
                yield from rows.filter(pa.array(mask)).to_pylist()


def open_results(dest: str) -> Results:
    """Opens the results at a destination; no row is read yet.

    Args:
        dest: What was given to `score` as `--out`.

    Raises:
        LocationError: There is no run of `score`, or it has no row yet.
    """
    destination = Destination(normalise(dest), "results")
    base = destination.base
    try:
        last, success = destination.last_attempt(), destination.success()
        parts = destination.counting_parts() if last else []
    except StorageError as error:
        raise LocationError(f"the results cannot be read: `{base}`: {error}") from error
    if last is None or last["identity"].get("command") != "score":
        raise LocationError(
            f"no results at: `{base}`", hint="name the folder that was given to `score` as --out"
        )
    if not parts:
        raise LocationError(f"there is no row yet: `{base}`", hint="run `score` to its end")
    newest_first = sorted(parts, key=lambda name: (-attempt_of(name), name))
    return Results(destination, last["identity"], success, tuple(newest_first))


def top(
    results: Results, count: int, columns: Sequence[str], *, status: Status = Status.OK
) -> pa.Table:
    """Gives the videos with the highest scores, the highest first.

    Args:
        results: Read once; never more than `count` rows and a row group are in memory.
        count: How many, at least 1.
        columns: Names of `schemas.RESULT`.
        status: Videos with another one are passed over.
    """
    wanted = list(dict.fromkeys([*columns, "score", "status", "video_id"]))
    kept = pa.schema([RESULT.field(name) for name in wanted]).empty_table()
    order = [("score", "descending"), ("video_id", "ascending")]
    pending: list[pa.Table] = []
    for rows in results.tables(wanted):
        pending.append(rows.filter(pc.field("status") == str(status)))
        if sum(map(len, pending)) >= count:
            kept = _highest(pa.concat_tables([kept, *pending]), count, order)
            pending = []
    return _highest(pa.concat_tables([kept, *pending]), count, order).select(list(columns))


def _highest(rows: pa.Table, count: int, order: list[tuple[str, str]]) -> pa.Table:
    # `slice` alone would keep the buffers of every row that was ever read.
    return rows.take(pc.sort_indices(rows, sort_keys=order)[:count])
