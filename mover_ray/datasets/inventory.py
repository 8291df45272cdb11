"""S3 Inventory: the list of a bucket's objects that S3 writes by itself, as manifest rows.

An inventory is a day old or older: an object that is gone by now becomes a row
`not_found`, one that was replaced `changed`.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import md5
from typing import Any, Final
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from pyarrow import orc

from mover_ray.datasets.rows import table_from_columns
from mover_ray.datasets.video_names import why_none_of
from mover_ray.errors import ConfigError
from mover_ray.storage import OnSkip, join, scheme_of, storage_for

DELETED: Final = "deleted: a delete marker"
OLDER: Final = "an older version"

_FILE_NAME = "manifest.json"
_ROWS_AT_ONCE = 1 << 16

#: Columns that are read, as Parquet and ORC files call them, and their types in CSV files.
_COLUMNS: Final = {
    "key": pa.string(),
    "version_id": pa.string(),
    "is_latest": pa.bool_(),
    "is_delete_marker": pa.bool_(),
    "size": pa.int64(),
    "last_modified_date": pa.timestamp("ms", tz="UTC"),
    "e_tag": pa.string(),
    "storage_class": pa.string(),
}

#: Names that CSV schemas spell otherwise than by camel case.
_CSV_NAMES: Final = {"ETag": "e_tag"}


@dataclass(frozen=True, slots=True)
class InventoryFile:
    """One data file of an inventory."""

    uri: str
    md5: str
    """Of the whole file; hexadecimal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """What `manifest.json` says."""

    uri: str
    """Of `manifest.json`."""
    root: str
    """`s3://bucket/` of the objects; their keys follow it."""
    file_format: str
    """`CSV`, `ORC` or `Parquet`."""
    columns: tuple[str, ...]
    """Every column, in the order of CSV files."""
    files: tuple[InventoryFile, ...]


def is_inventory(uri: str) -> bool:
    """Says whether a file is taken for the manifest of an S3 Inventory, by its name."""
    return uri.rpartition("/")[2] == _FILE_NAME


def read_inventory(uri: str) -> Inventory:
    """Reads the `manifest.json` of an inventory.

    Raises:
        StorageError: It cannot be read.
        ConfigError: It is something else, or lacks a column without which no object can
            be told from its older versions.
    """
    try:
        inventory = _parse(uri, json.loads(storage_for(uri).read(uri)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"not the manifest of an S3 Inventory: `{uri}`",
            hint="lists of videos are CSV or Parquet files with a column `uri`",
        ) from error
    _check_columns(inventory)
    return inventory


def inventory_tables(inventory: Inventory, on_skip: OnSkip) -> Iterator[pa.Table]:
    """Gives the videos of an inventory: columns of the manifest, and `storage_class`.

    Args:
        inventory: What to read.
        on_skip: Told of delete markers, older versions and names of other files.

    Raises:
        StorageError: A data file is missing or may not be read.
        ConfigError: A data file is not what the manifest says.
    """
    for file in inventory.files:
        data = storage_for(file.uri).read(file.uri)
        if md5(data, usedforsecurity=False).hexdigest() != file.md5:
            raise ConfigError(
                f"a file of the inventory is not the one that its manifest names: `{file.uri}`",
                hint="take another day's inventory",
            )
        try:
            for found in _READERS[inventory.file_format](inventory, data):
                yield _manifest_rows(inventory.root, found, on_skip)
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(f"not {inventory.file_format}: `{file.uri}`: {error}") from error


def _parse(uri: str, document: dict[str, Any]) -> Inventory:
    is_local = storage_for(uri).is_local
    root = "s3://" if is_local else f"{scheme_of(uri)}://"
    bucket = root + document["destinationBucket"].rpartition(":")[2]
    return Inventory(
        uri=uri,
        root=f"{root}{document['sourceBucket']}/",
        file_format={name.upper(): name for name in _READERS}[document["fileFormat"].upper()],
        columns=_column_names(document["fileSchema"]),
        files=tuple(
            InventoryFile(
                _downloaded(uri, file["key"]) if is_local else f"{bucket}/{file['key']}",
                file["MD5checksum"],
            )
            for file in document["files"]
        ),
    )


def _downloaded(uri: str, key: str) -> str:
    """Gives where a data file lies beside a manifest on disk, if the layout of S3 was kept."""
    day = uri.rpartition("/")[0]
    return join(day.rpartition("/")[0], "data", key.rpartition("/")[2])


def _column_names(schema: str) -> tuple[str, ...]:
    """Reads `Bucket, Key, …`, `struct<bucket:string,…>` or `message … { … binary key (UTF8); }`."""
    if "<" in schema:
        return tuple(re.findall(r"(\w+):", schema))
    if "{" in schema:
        return tuple(re.findall(r"(?:required|optional) \w+ (\w+)", schema))
    names = (name.strip() for name in schema.split(","))
    return tuple(_CSV_NAMES.get(name) or _snake_case(name) for name in names)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _check_columns(inventory: Inventory) -> None:
    needed = {"key": "Key", "size": "Size", "e_tag": "ETag"}
    if "version_id" in inventory.columns:
        needed["is_latest"] = "IsLatest"
    missing = [title for name, title in needed.items() if name not in inventory.columns]
    if missing:
        raise ConfigError(
            f"the inventory has no {', '.join(missing)}: `{inventory.uri}`",
            hint="add the optional fields Size and ETag to its configuration",
        )


def _csv_batches(inventory: Inventory, data: bytes) -> Iterator[pa.Table]:
    reader = pa_csv.open_csv(
        pa.CompressedInputStream(pa.BufferReader(data), "gzip"),
        read_options=pa_csv.ReadOptions(column_names=list(inventory.columns)),
        convert_options=pa_csv.ConvertOptions(
            include_columns=_present(inventory), column_types=_COLUMNS, strings_can_be_null=True
        ),
    )
    for batch in reader:
        keys = [unquote_plus(key, errors="strict") for key in batch["key"].to_pylist()]
        yield pa.table(batch).set_column(0, "key", pa.array(keys, pa.string()))


def _parquet_batches(inventory: Inventory, data: bytes) -> Iterator[pa.Table]:
    file = pq.ParquetFile(io.BytesIO(data))
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=_present(inventory)):
        yield pa.table(batch)


def _orc_batches(inventory: Inventory, data: bytes) -> Iterator[pa.Table]:
    file = orc.ORCFile(io.BytesIO(data))
    for stripe in range(file.nstripes):
        yield pa.table(file.read_stripe(stripe, columns=_present(inventory)))


_READERS: Final[dict[str, Callable[[Inventory, bytes], Iterator[pa.Table]]]] = {
    "CSV": _csv_batches,
    "ORC": _orc_batches,
    "Parquet": _parquet_batches,
}


def _present(inventory: Inventory) -> list[str]:
    return [name for name in _COLUMNS if name in inventory.columns]


def _manifest_rows(root: str, found: pa.Table, on_skip: OnSkip) -> pa.Table:
    for name, kind in _COLUMNS.items():
        if name not in found.column_names:
            found = found.append_column(name, pa.nulls(len(found), kind))
    found = _videos(root, found, on_skip)
    moments = found["last_modified_date"].cast(pa.timestamp("s", tz="UTC"), safe=False)
    seconds = moments.cast(pa.int64())
    versions = found["version_id"]
    columns = {
        "uri": pc.binary_join_element_wise(root, found["key"], ""),
        "version_id": pc.if_else(pc.is_in(versions, pa.array(["", "null"])), None, versions),
        "etag": pc.utf8_trim(found["e_tag"], '"'),
        "size_bytes": found["size"],
        "mtime_ns": pc.multiply(seconds, 1_000_000_000),
    }
    table = table_from_columns({name: column.to_pylist() for name, column in columns.items()})
    return table.append_column("storage_class", found["storage_class"].cast(pa.string()))


def _videos(root: str, found: pa.Table, on_skip: OnSkip) -> pa.Table:
    """Leaves out what is no video or not the present version; folder markers without a word."""
    deleted = pc.fill_null(found["is_delete_marker"], fill_value=False)
    latest = pc.fill_null(found["is_latest"], fill_value=True)
    marker = pc.and_(pc.ends_with(found["key"], "/"), pc.equal(pc.fill_null(found["size"], 0), 0))
    reason = pc.if_else(deleted, DELETED, pc.if_else(latest, why_none_of(found["key"]), OLDER))
    told = found["key"].filter(pc.and_(pc.is_valid(reason), pc.invert(marker)))
    reasons = reason.filter(pc.and_(pc.is_valid(reason), pc.invert(marker)))
    for key, why in zip(told.to_pylist(), reasons.to_pylist(), strict=True):
        on_skip(root + key, why)
    return found.filter(pc.and_(pc.is_null(reason), pc.invert(marker)))
