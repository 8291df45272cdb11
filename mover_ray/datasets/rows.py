"""Rows of a manifest: what names a video, and tables made of columns."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from mover_ray.schemas import MANIFEST
from mover_ray.storage import ObjectInfo, version_text

#: Columns that a video's id is made of, beside its uri.
VERSION_COLUMNS = ("version_id", "etag", "size_bytes", "mtime_ns")


def video_id(uri: str, version: str) -> int:
    """Gives the id of one version of one object, the same on every machine and for ever.

    The first 63 bits, most significant first, of BLAKE2b with a digest of 8 bytes over
    the UTF-8 bytes of `uri`, one zero byte and those of `version`. A version never holds
    a zero byte, so no two pairs are spelled alike.

    Args:
        uri: As in the manifest.
        version: The store's version id, else its etag without quotation marks, else
            `size:mtime` (bytes, nanoseconds, decimal), else the empty string.
    """
    digest = hashlib.blake2b(f"{uri}\0{version}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def compute_ids(table: pa.Table) -> pa.Array:
    """Gives the id of each row of a table with `uri` and `VERSION_COLUMNS`."""
    columns = [table[name].to_pylist() for name in ("uri", *VERSION_COLUMNS)]
    ids = [video_id(uri, version_text(*version)) for uri, *version in zip(*columns, strict=True)]
    return pa.array(ids, pa.int64())


def table_from_columns(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Gives a manifest of some of its columns: ids computed, the others null.

    Raises:
        pyarrow.ArrowException: A value does not fit its column's type.
    """
    nulls = [None] * len(columns["uri"])
    table = pa.table(
        {field.name: pa.array(columns.get(field.name, nulls), field.type) for field in MANIFEST}
    )
    return table.set_column(0, "video_id", compute_ids(table)).cast(MANIFEST)


def table_from_infos(infos: Iterable[ObjectInfo]) -> pa.Table:
    """Gives a manifest of objects as a listing has them.

    A version id is left out: listings carry none, and an object must get the same id
    whether it was listed or named alone.
    """
    facts = [(info.uri, info.etag, info.size_bytes, info.mtime_ns) for info in infos]
    names = ("uri", "etag", "size_bytes", "mtime_ns")
    columns = zip(*facts, strict=True) if facts else ((),) * len(names)
    return table_from_columns(dict(zip(names, map(list, columns), strict=True)))


def expected_object(row: Mapping[str, Any]) -> ObjectInfo | None:
    """Gives the version that a manifest's row stands for; null if none was found then."""
    if row["size_bytes"] is None:
        return None
    return ObjectInfo(
        row["uri"], row["size_bytes"], row["etag"], row["version_id"], row["mtime_ns"]
    )
