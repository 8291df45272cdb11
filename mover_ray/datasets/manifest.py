"""The manifest: the list of videos, each under its id, that every run starts from."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mover_ray.datasets.lists import parse_manifest
from mover_ray.datasets.passed_over import PassedOver
from mover_ray.datasets.selection import Selection, parse_sample
from mover_ray.datasets.sources import count_archived, open_source
from mover_ray.errors import ConfigError, LocationError, StorageError
from mover_ray.provenance import sha256_bytes
from mover_ray.schemas import MANIFEST
from mover_ray.storage import normalise, storage_for

__all__ = [
    "BuiltManifest",
    "ManifestSummary",
    "build",
    "check_unique",
    "encode",
    "merge",
    "parse_sample",
    "read",
    "summarise",
    "write",
]

FILE_NAME = "_manifest.parquet"

_SOURCE_HINT = (
    "a source is a folder, a video, an `s3://` prefix, a CSV or Parquet list, "
    "or the manifest.json of an S3 Inventory"
)


@dataclass(frozen=True)
class BuiltManifest:
    """A manifest and what is not in it."""

    table: pa.Table
    passed_over: PassedOver = field(default_factory=PassedOver)
    """What was found and not taken."""
    archived: int = 0
    """Videos that must be restored from an archive class before they can be read."""

    def passed_over_by_reason(self) -> dict[str, int]:
        """Counts what was not taken, the most frequent reason first."""
        return self.passed_over.by_reason()


@dataclass(frozen=True)
class ManifestSummary:
    """What `manifest show` says."""

    videos: int
    size_bytes: int
    """Sum of the sizes that are known."""
    unknown_size: int
    """Videos that were not found when the manifest was built."""
    archived: int
    """Videos that were in an archive class then; known only while it is built."""
    by_suffix: dict[str, int]
    by_label: dict[str, int]
    by_dataset: dict[str, int]
    passed_over: dict[str, int]
    """Number of names by reason."""


def build(
    *sources: str,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    limit: int | None = None,
    sample: float | None = None,
) -> BuiltManifest:
    """Builds one manifest of one or more sources.

    Args:
        sources: Each a folder or `s3://` prefix (searched to any depth), one video, a
            CSV or Parquet list with a `uri` column, a manifest, or the `manifest.json`
            of an S3 Inventory.
        include: See `Selection`, also for the others.
        exclude: Globs.
        limit: Of all sources together.
        sample: Fraction of each source.

    Raises:
        LocationError: A source is not there, may not be read or holds no video.
        ConfigError: A list or a manifest is wrong, a video is named twice, or the
            selection leaves nothing.
    """
    selection = Selection(include=include, exclude=exclude, limit=limit, sample=sample)
    gathered = _Gathered(limit)
    for uri in map(normalise, sources):
        try:
            gathered.take(uri, selection)
        except StorageError as error:
            raise LocationError(f"source: {error}", hint=error.hint or _SOURCE_HINT) from error
    table = pa.concat_tables(gathered.parts).combine_chunks()
    if len(table) == 0:
        raise ConfigError(
            f"nothing is selected of {gathered.found} videos: `{'`, `'.join(sources)}`",
            hint="change --include, --exclude or --sample",
        )
    check_unique(table)
    return BuiltManifest(table, gathered.passed_over, gathered.archived)


def merge(old: pa.Table, new: pa.Table) -> pa.Table:
    """Gives the rows of `old` and then those of `new` with other ids."""
    added = new.filter(pc.invert(pc.is_in(new["video_id"], value_set=old["video_id"])))
    return pa.concat_tables([old, added]).combine_chunks()


def check_unique(table: pa.Table) -> None:
    """Raises `ConfigError` if two rows have one id, and names a video of them."""
    ids = table["video_id"].to_numpy()
    values, first, counts = np.unique(ids, return_index=True, return_counts=True)
    if len(values) < len(ids):
        uri = table["uri"][int(first[counts > 1].min())].as_py()
        raise ConfigError(f"named twice: `{uri}`", hint="a manifest holds a video once")


def encode(table: pa.Table) -> bytes:
    """Gives the content of a manifest file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def read(uri: str) -> pa.Table:
    """Gives the manifest in the file `uri`, ids verified.

    Raises:
        StorageError: The file is not there or may not be read.
        ConfigError: It is no manifest.
    """
    table = parse_manifest(storage_for(uri).read(uri), uri)
    check_unique(table)
    return table


def write(uri: str, table: pa.Table) -> str:
    """Writes a manifest file whole and gives its SHA-256."""
    data = encode(table)
    storage_for(uri).write(uri, data)
    return sha256_bytes(data)


def summarise(built: BuiltManifest) -> ManifestSummary:
    """Counts what a manifest holds."""
    table = built.table
    suffixes = Counter(_suffix(uri) for uri in table["uri"].to_pylist())
    return ManifestSummary(
        videos=len(table),
        size_bytes=pc.sum(table["size_bytes"], min_count=0).as_py(),
        unknown_size=table["size_bytes"].null_count,
        archived=built.archived,
        by_suffix=dict(suffixes.most_common()),
        by_label=_counts(table["label"]),
        by_dataset=_counts(table["dataset"]),
        passed_over=built.passed_over_by_reason(),
    )


class _Gathered:
    """Rows of one source after the other, until enough are there."""

    def __init__(self, limit: int | None) -> None:
        self.parts = [MANIFEST.empty_table()]
        self.found = 0
        self.archived = 0
        self.passed_over = PassedOver()
        self._left = limit

    def take(self, uri: str, selection: Selection) -> None:
        """Adds the selected rows of a source.

        Raises:
            LocationError: It holds no video.
        """
        if self._left == 0:
            return
        found_before = self.found
        own = PassedOver()
        source = open_source(uri, own.add)
        for table in source.tables:
            self.found += len(table)
            self._add(selection.apply(table, source.folder, self.passed_over))
            if self._left == 0:
                break
        if self.found == found_before:
            raise LocationError(f"no video in the source: `{uri}`", hint=_why_nothing(own))
        self.passed_over = self.passed_over.joined(own)

    def _add(self, rows: pa.Table) -> None:
        rows = rows.slice(0, self._left)
        if self._left is not None:
            self._left -= len(rows)
        self.archived += count_archived(rows)
        self.parts.append(rows.select(MANIFEST.names))


def _why_nothing(passed_over: PassedOver) -> str:
    reasons = passed_over.by_reason().items()
    if not reasons:
        return "the folder or prefix is empty, or misspelt"
    return "passed over: " + ", ".join(f"{count} × {reason}" for reason, count in reasons)


def _suffix(uri: str) -> str:
    name = uri.rpartition("/")[2]
    return f".{name.rpartition('.')[2].lower()}" if "." in name else ""


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Counts values, the most frequent first; nulls under the empty string."""
    return dict(Counter(value or "" for value in column.to_pylist()).most_common())
