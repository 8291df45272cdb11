"""Writing and reading part files."""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mover_ray.errors import HeldError, LocationError, PreconditionFailed
from mover_ray.pipelines.destination import Destination, Part, part_name
from mover_ray.pipelines.lease import fencing_attempt
from mover_ray.provenance import sha256_bytes

#: A reader that looks for one video decompresses at most so many rows.
ROW_GROUP_ROWS = 1000
_READERS = 16


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A committed part and what became of its videos."""

    part: Part
    counts: dict[str, int]
    video_bytes: int
    """Size of these videos, as far as it is known."""


@dataclass(frozen=True, slots=True)
class PartIndex:
    """The ids and statuses of one part, in its order of rows."""

    name: str
    video_ids: np.ndarray
    statuses: np.ndarray


def write_part(
    destination: Destination, attempt: int, task: int, rows: pa.Table, *, kind: str = ""
) -> WrittenPart:
    """Commits rows as one part file: one atomic write under the attempt's name.

    A task that is tried again finds its own file and adopts it, provided that it
    holds the same videos; otherwise it is overwritten.

    Args:
        destination: Where to.
        attempt: The writer's attempt.
        task: Number of the task within the attempt.
        rows: At least one row, in the destination's schema.
        kind: One letter for parts that no task of the engine wrote.

    Raises:
        HeldError: A later attempt holds the destination; nothing is left that it
            does not count.
    """
    _require_newest(destination, attempt)
    name = part_name(attempt, task, kind)
    content = encode(rows)
    try:
        destination.storage.write(destination.part_uri(name), content, if_absent=True)
    except PreconditionFailed:
        existing = destination.storage.read(destination.part_uri(name))
        if _ids(existing) == rows["video_id"].to_pylist():
            content = existing
        else:
            destination.storage.write(destination.part_uri(name), content)
    _withdraw_if_late(destination, attempt, name)
    counts = Counter(rows["status"].to_pylist())
    return WrittenPart(describe(name, content), dict(counts), total_bytes(rows))


def total_bytes(rows: pa.Table) -> int:
    """Gives the size of the videos of rows or of a manifest, as far as it is known."""
    if "size_bytes" not in rows.column_names:
        return 0
    return int(pc.sum(rows["size_bytes"]).as_py() or 0)


def _require_newest(destination: Destination, attempt: int) -> None:
    if fencing_attempt(destination) > attempt:
        raise HeldError(
            f"a later run has taken over the destination: `{destination.base}`",
            hint="this writer is out of date; what counts is unchanged",
        )


def _withdraw_if_late(destination: Destination, attempt: int, name: str) -> None:
    """Sets a part aside that was under way while a later attempt began.

    If that attempt saw it in time, it counts and stays. Before the attempt's
    document is there nobody can tell; then the later run's end sets it aside.
    """
    try:
        _require_newest(destination, attempt)
    except HeldError:
        last = destination.last_attempt()
        if last is not None and last["attempt"] > attempt:
            accepted = {entry["name"] for entry in last["accepted"]}
            destination.set_aside({name} - accepted)
        raise


def encode(rows: pa.Table) -> bytes:
    """Gives the bytes of a Parquet file with the rows."""
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    return buffer.getvalue()


def describe(name: str, content: bytes) -> Part:
    """Gives the record of a part from its bytes."""
    rows = pq.ParquetFile(io.BytesIO(content)).metadata.num_rows
    return Part(name, rows, len(content), sha256_bytes(content))


def describe_all(destination: Destination, names: Sequence[str]) -> list[Part]:
    """Reads the named parts whole and gives their records, in the order of `names`."""

    def one(name: str) -> Part:
        return describe(name, destination.storage.read(destination.part_uri(name)))

    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(one, names))


def read_table(
    destination: Destination, name: str, columns: Iterable[str] | None = None
) -> pa.Table:
    """Reads a part, or some of its columns only.

    Raises:
        LocationError: The file is no whole Parquet file.
    """
    try:
        with destination.open_part(name) as file:
            # `pq.read_table` makes a data set of the file first, in twice the time.
            return pq.ParquetFile(file).read(None if columns is None else list(columns))
    except pa.ArrowInvalid as error:
        raise LocationError(
            f"a part is damaged: `{destination.part_uri(name)}`",
            hint="restore that file, or start over with --fresh or another --out",
        ) from error


def read_indexes(destination: Destination, names: Sequence[str]) -> Iterator[PartIndex]:
    """Reads the ids and statuses of the named parts, and no other column."""

    def one(name: str) -> PartIndex:
        table = read_table(destination, name, ("video_id", "status"))
        statuses = table["status"].to_numpy(zero_copy_only=False)
        return PartIndex(name, table["video_id"].to_numpy(), statuses.astype(object))

    with ThreadPoolExecutor(_READERS) as pool:
        yield from pool.map(one, names)


def _ids(content: bytes) -> list[int]:
    table = pq.read_table(io.BytesIO(content), columns=["video_id"])
    return list(table["video_id"].to_pylist())
