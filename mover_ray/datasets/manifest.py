"""The manifest: the list of videos, each under its id, that every run starts from."""

import fnmatch
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mover_ray.datasets.lists import parse_manifest
from mover_ray.datasets.sources import source_tables
from mover_ray.errors import ConfigError, LocationError, StorageError
from mover_ray.provenance import sha256_bytes
from mover_ray.schemas import MANIFEST
from mover_ray.storage import normalise, relative_name, storage_for

FILE_NAME = "_manifest.parquet"

_ID_BITS = 63
_SOURCE_HINT = "a source is a folder, a video, an `s3://` prefix, or a CSV or Parquet list"


@dataclass(frozen=True)
class BuiltManifest:
    """A manifest and what is not in it."""

    table: pa.Table
    passed_over: list[tuple[str, str]]
    """Uri and reason of what was found and not taken."""

    def passed_over_by_reason(self) -> dict[str, int]:
        """Counts what was not taken, the most frequent reason first."""
        return count_reasons(self.passed_over)


@dataclass(frozen=True)
class ManifestSummary:
    """What `manifest show` says."""

    videos: int
    size_bytes: int
    """Sum of the sizes that are known."""
    unknown_size: int
    """Videos that were not found when the manifest was built."""
    by_suffix: dict[str, int]
    by_label: dict[str, int]
    by_dataset: dict[str, int]
    passed_over: dict[str, int]
    """Number of names by reason."""


@dataclass(frozen=True)
class _Selection:
    folder: str
    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]
    sample: float | None

    def apply(self, table: pa.Table, passed_over: list[tuple[str, str]]) -> pa.Table:
        """Gives the rows that are asked for; those outside the patterns are noted."""
        if self.include or self.exclude:
            table = table.filter(pa.array(self._wanted(table, passed_over), pa.bool_()))
        if self.sample is not None:
            # Ids are spread evenly, so the lowest ones are a sample that never changes.
            ids = table["video_id"].to_numpy().astype(np.uint64)
            table = table.filter(pa.array(ids < np.uint64(int(self.sample * 2**_ID_BITS))))
        return table

    def _wanted(self, table: pa.Table, passed_over: list[tuple[str, str]]) -> Iterator[bool]:
        for uri in table["uri"].to_pylist():
            name = relative_name(uri, self.folder)
            included = not self.include or _matches(self.include, name)
            excluded = _matches(self.exclude, name)
            if not included or excluded:
                passed_over.append((uri, "excluded" if excluded else "not included"))
            yield included and not excluded


def build(
    source: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    limit: int | None = None,
    sample: float | None = None,
) -> BuiltManifest:
    """Builds the manifest of a source.

    Args:
        source: A folder or `s3://` prefix (searched to any depth), one video, a CSV or
            Parquet list with a `uri` column, or a manifest.
        include: Globs; at least one must fit the name below the source, or its last
            part. `*` stands for slashes too.
        exclude: Globs, none of which may fit.
        limit: Take the first so many; the search ends there.
        sample: Take this fraction, in (0, 1], always the same videos.

    Raises:
        LocationError: The source is not there, may not be read or holds no video.
        ConfigError: A list or a manifest is wrong, or the selection leaves nothing.
    """
    _check_selection(limit, sample)
    uri = normalise(source)
    selection = _Selection(uri, _patterns(include), _patterns(exclude), sample)
    passed_over: list[tuple[str, str]] = []
    try:
        table, found = _gather(uri, selection, limit, passed_over)
    except StorageError as error:
        raise LocationError(f"source: {error}", hint=error.hint or _SOURCE_HINT) from error
    if found == 0:
        raise LocationError(f"no video in the source: `{uri}`", hint=_why_nothing(passed_over))
    if len(table) == 0:
        raise ConfigError(
            f"nothing is selected of {found} videos: `{uri}`",
            hint="change --include, --exclude or --sample",
        )
    check_unique(table)
    return BuiltManifest(table, passed_over)


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


def summarise(table: pa.Table, passed_over: Sequence[tuple[str, str]] = ()) -> ManifestSummary:
    """Counts what a manifest holds."""
    suffixes = Counter(_suffix(uri) for uri in table["uri"].to_pylist())
    return ManifestSummary(
        videos=len(table),
        size_bytes=pc.sum(table["size_bytes"], min_count=0).as_py(),
        unknown_size=table["size_bytes"].null_count,
        by_suffix=dict(suffixes.most_common()),
        by_label=_counts(table["label"]),
        by_dataset=_counts(table["dataset"]),
        passed_over=count_reasons(passed_over),
    )


def parse_sample(text: str) -> float:
    """Reads `1%` or `0.01`.

    Raises:
        ConfigError: It is no number, or outside (0, 1].
    """
    number, percent, rest = text.strip().partition("%")
    try:
        fraction = float(number) / (100 if percent else 1)
    except ValueError:
        fraction = 0.0
    if rest or not 0 < fraction <= 1:
        raise ConfigError(f"not a sample: `{text}`", hint="write `1%` or `0.01`, at most `100%`")
    return fraction


def _gather(
    uri: str, selection: _Selection, limit: int | None, passed_over: list[tuple[str, str]]
) -> tuple[pa.Table, int]:
    """Gives the selected rows and how many were found until enough were there."""
    parts = [MANIFEST.empty_table()]
    found = 0
    left = limit
    for table in source_tables(uri, lambda name, reason: passed_over.append((name, reason))):
        found += len(table)
        parts.append(selection.apply(table, passed_over).slice(0, left))
        if left is not None:
            left -= len(parts[-1])
            if left == 0:
                break
    return pa.concat_tables(parts).combine_chunks(), found


def _check_selection(limit: int | None, sample: float | None) -> None:
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is too small: `{limit}`", hint="the least is 1")
    if sample is not None and not 0 < sample <= 1:
        raise ConfigError(f"sample is out of range: `{sample}`", hint="above 0, at most 1")


def _patterns(globs: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(fnmatch.translate(glob)) for glob in globs)


def _matches(patterns: tuple[re.Pattern[str], ...], name: str) -> bool:
    last = name.rpartition("/")[2]
    return any(pattern.match(name) or pattern.match(last) for pattern in patterns)


def count_reasons(passed_over: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Counts uris by the reason for which they were passed over, the most frequent first."""
    return dict(Counter(reason for _, reason in passed_over).most_common())


def _why_nothing(passed_over: Sequence[tuple[str, str]]) -> str:
    if not passed_over:
        return "the folder or prefix is empty, or misspelt"
    reasons = count_reasons(passed_over).items()
    return "passed over: " + ", ".join(f"{count} × {reason}" for reason, count in reasons)


def _suffix(uri: str) -> str:
    name = uri.rpartition("/")[2]
    return f".{name.rpartition('.')[2].lower()}" if "." in name else ""


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Counts values, the most frequent first; nulls under the empty string."""
    return dict(Counter(value or "" for value in column.to_pylist()).most_common())
