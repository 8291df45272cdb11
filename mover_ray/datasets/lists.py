"""Lists of videos that a user brings: CSV or Parquet with a `uri` column, or a manifest."""

import csv
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mover_ray.config import suggest
from mover_ray.datasets.rows import VERSION_COLUMNS, compute_ids, table_from_columns
from mover_ray.datasets.sequences import split_sequence
from mover_ray.errors import ConfigError, LocationError, StorageError
from mover_ray.schemas import MANIFEST
from mover_ray.status import Status
from mover_ray.storage import ObjectInfo, join, normalise, scheme_of, storage_for

LABELS = ("real", "fake")

_SUFFIXES = (".csv", ".parquet")
_URI_COLUMNS = ("uri", "pair_uri", "mask_uri")
_INTEGER_COLUMNS = ("size_bytes", "mtime_ns")
_GIVEN_COLUMNS = tuple(name for name in MANIFEST.names if name != "video_id")

#: Objects that stay in the manifest, to become rows that say so.
_KEPT_STATUSES = (Status.NOT_FOUND, Status.ACCESS_DENIED, Status.ARCHIVED, Status.UNSUPPORTED)

#: Requests under way at once while objects of a list are looked up.
_LOOKUPS = 32

#: Requests that wait for their turn; a million at once would fill the memory.
_LOOKUPS_QUEUED = 4096

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class _Parsed:
    uri: str
    """Of the list."""
    columns: Columns
    place: Callable[[int], str]
    """Where a row stands, for messages."""

    def error(self, row: int, what: str, hint: str) -> ConfigError:
        return ConfigError(f"{what}: `{self.uri}`, {self.place(row)}", hint=hint)


def is_list(uri: str) -> bool:
    """Says whether a file is taken for a list, by the end of its name."""
    return uri.lower().endswith(_SUFFIXES)


def read_list(uri: str) -> pa.Table:
    """Gives a list as a manifest. Relative uris start at the folder of the list.

    Objects whose size or version the list leaves out are looked up; those that are
    not there stay, with nothing known of them.

    Raises:
        ConfigError: Columns, values or the file itself are not as they should be.
        LocationError: None of the objects may be looked up.
        StorageError: The list, or the store of its objects, cannot be read.
    """
    data = storage_for(uri).read(uri)
    if uri.lower().endswith(".csv"):
        return _complete(_parse_csv(uri, data))
    table = _open_parquet(uri, data)
    if "video_id" in table.column_names:
        return verified_manifest(table, uri)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return _complete(_Parsed(uri, columns, lambda row: f"row {row + 1}"))


def parse_manifest(data: bytes, uri: str) -> pa.Table:
    """Gives the manifest that a Parquet file holds; `uri` is its name in messages."""
    return verified_manifest(_open_parquet(uri, data), uri)


def verified_manifest(table: pa.Table, uri: str) -> pa.Table:
    """Gives `table` in the manifest's schema, each id checked against its row."""
    _check_names(table.column_names, uri)
    for name in ("video_id", "uri"):
        if name not in table.column_names or table[name].null_count:
            raise ConfigError(f"no `{name}` in some row of the manifest: `{uri}`")
    for field in MANIFEST:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    table = _cast(table.select(MANIFEST.names), uri)
    wrong = pc.index(pc.equal(table["video_id"], compute_ids(table)), value=False).as_py()
    if wrong >= 0:
        raise ConfigError(
            f"video_id does not fit uri and version: `{uri}`, row {wrong + 1}",
            hint="leave the column `video_id` out: ids are computed",
        )
    _check_labels(_Parsed(uri, {"label": table["label"].to_pylist()}, lambda row: f"row {row + 1}"))
    return table


def _open_parquet(uri: str, data: bytes) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"not a Parquet file: `{uri}`") from error


def _cast(table: pa.Table, uri: str) -> pa.Table:
    try:
        return table.cast(MANIFEST)
    except pa.ArrowException as error:
        raise ConfigError(f"a column has the wrong type: `{uri}`: {error}") from error


def _parse_csv(uri: str, data: bytes) -> _Parsed:
    reader = csv.reader(io.StringIO(_decode(uri, data), newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        numbered = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ConfigError(
            f"not CSV: {error}: `{uri}`, line {reader.line_num}",
            hint="quote fields that hold commas or quotation marks",
        ) from error
    if len(set(names)) < len(names):
        raise ConfigError(f"two columns of one name: `{uri}`, line 1", hint="name each once")
    if "video_id" in names:
        raise ConfigError(
            f"column `video_id`: `{uri}`, line 1", hint="leave it out: ids are computed"
        )
    for line, row in numbered:
        if len(row) != len(names):
            raise ConfigError(
                f"{len(row)} fields where the header has {len(names)}: `{uri}`, line {line}",
                hint="quote fields that hold commas",
            )
    columns = {name: [row[i] or None for _, row in numbered] for i, name in enumerate(names)}
    return _Parsed(uri, columns, lambda row: f"line {numbered[row][0]}")


def _decode(uri: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"not UTF-8: `{uri}`, line {line}", hint="save the list as UTF-8"
        ) from error


def _complete(parsed: _Parsed) -> pa.Table:
    _check_names(list(parsed.columns), parsed.uri)
    _check_labels(parsed)
    columns = dict(parsed.columns)
    for name in _URI_COLUMNS:
        if name in columns:
            columns[name] = [_resolved(parsed, row, name) for row in range(len(columns[name]))]
    for name in _INTEGER_COLUMNS:
        columns[name] = _integers(parsed, name)
    if "etag" in columns:
        columns["etag"] = [etag and etag.strip('"') for etag in columns["etag"]]
    _look_up(columns)
    try:
        return table_from_columns(columns)
    except pa.ArrowException as error:
        raise ConfigError(f"a column has the wrong type: `{parsed.uri}`: {error}") from error


def _check_names(names: Sequence[str], uri: str) -> None:
    if "uri" not in names:
        raise ConfigError(
            f"no column `uri`: `{uri}`",
            hint="the first line of a CSV names its columns, separated by commas",
        )
    for name in names:
        if name not in MANIFEST.names:
            hint = suggest(name, _GIVEN_COLUMNS)
            raise ConfigError(f"unknown column `{name}`: `{uri}`", hint=hint)


def _check_labels(parsed: _Parsed) -> None:
    for row, label in enumerate(parsed.columns.get("label", ())):
        if label is not None and label not in LABELS:
            raise parsed.error(row, f"unknown label `{label}`", "write `real`, `fake` or nothing")


def _resolved(parsed: _Parsed, row: int, name: str) -> str | None:
    """Gives the uri that a field means; null if it is empty, which `uri` may not be."""
    text = parsed.columns[name][row]
    if not text:
        if name == "uri":
            raise parsed.error(row, "no uri", "every row names a video")
        return None
    if scheme_of(text) == "file" and not text.startswith(("/", "file://")):
        text = join(parsed.uri.rpartition("/")[0], text)
    try:
        return normalise(text)
    except LocationError as error:
        raise parsed.error(row, str(error), error.hint or "") from error


def _integers(parsed: _Parsed, name: str) -> list[int | None]:
    numbers: list[int | None] = []
    for row, value in enumerate(parsed.columns.get(name, [None] * len(parsed.columns["uri"]))):
        try:
            numbers.append(None if value is None else int(value))
        except ValueError as error:
            raise parsed.error(
                row, f"{name} is no whole number `{value}`", "leave it empty to have it looked up"
            ) from error
    return numbers


def _look_up(columns: Columns) -> None:
    """Fills size, etag and time of change where a row does not say which version it means."""
    for name in VERSION_COLUMNS:
        columns.setdefault(name, [None] * len(columns["uri"]))
    facts = zip(*(columns[name] for name in VERSION_COLUMNS), strict=True)
    rows = [
        row
        for row, (version_id, etag, size_bytes, mtime_ns) in enumerate(facts)
        if size_bytes is None or not (version_id or etag or mtime_ns)
    ]
    answers = _stat_all([(columns["uri"][row], columns["version_id"][row]) for row in rows])
    _check_some_permitted(answers)
    for row, answer in zip(rows, answers, strict=True):
        if isinstance(answer, ObjectInfo):
            for name in ("etag", "size_bytes", "mtime_ns"):
                if columns[name][row] is None:
                    columns[name][row] = getattr(answer, name)


def _stat_all(wanted: Sequence[tuple[str, str | None]]) -> list[ObjectInfo | StorageError]:
    if all(storage_for(uri).is_local for uri, _ in wanted):
        return [_stat_or_error(pair) for pair in wanted]
    answers: list[ObjectInfo | StorageError] = []
    with ThreadPoolExecutor(_LOOKUPS) as threads:
        for start in range(0, len(wanted), _LOOKUPS_QUEUED):
            answers += threads.map(_stat_or_error, wanted[start : start + _LOOKUPS_QUEUED])
    return answers


def _stat_or_error(wanted: tuple[str, str | None]) -> ObjectInfo | StorageError:
    uri, version_id = wanted
    # A sequence's size and version are its archive's.
    sequence = split_sequence(uri)
    uri = uri if sequence is None else sequence[0]
    try:
        return storage_for(uri).stat(uri, version_id=version_id)
    except StorageError as error:
        if error.status in _KEPT_STATUSES:
            return error
        raise


def _check_some_permitted(answers: Sequence[ObjectInfo | StorageError]) -> None:
    denied = [
        answer
        for answer in answers
        if isinstance(answer, StorageError) and answer.status is Status.ACCESS_DENIED
    ]
    if denied and len(denied) == len(answers):
        raise LocationError(str(denied[0]), hint=denied[0].hint)
