"""What a user may name as a source, as tables of manifest rows, a piece at a time."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mover_ray.datasets.inventory import inventory_tables, is_inventory, read_inventory
from mover_ray.datasets.lists import is_list, read_list
from mover_ray.datasets.rows import table_from_infos
from mover_ray.datasets.video_names import why_not
from mover_ray.errors import StorageError
from mover_ray.status import Status
from mover_ray.storage import (
    ObjectInfo,
    OnSkip,
    Storage,
    relative_name,
    split_object,
    storage_for,
    uri_to_path,
)

_ROWS_AT_ONCE = 1 << 16

#: Objects of these classes must be restored before they can be read.
_ARCHIVE_CLASSES: Final = ("GLACIER", "DEEP_ARCHIVE")


@dataclass(frozen=True, slots=True)
class Source:
    """Where videos come from."""

    folder: str
    """Globs are held against names below it."""
    tables: Iterator[pa.Table]
    """Columns of the manifest and, where the store has classes, `storage_class`."""


def open_source(uri: str, on_skip: OnSkip) -> Source:
    """Finds out what a uri names; what is no video is told to `on_skip`.

    Args:
        uri: A folder or prefix, one video, a list (CSV, Parquet, or a manifest), or the
            `manifest.json` of an S3 Inventory.
        on_skip: Gets the uri and the reason of everything that is passed over.

    Raises:
        StorageError: The source is not there or may not be read; also while the tables
            are taken.
        ConfigError: A list is not as it should be.
    """
    info = _object_at(uri, storage_for(uri))
    if info is None:
        return Source(uri, _folder_tables(uri, on_skip))
    if is_inventory(uri):
        inventory = read_inventory(uri)
        return Source(inventory.root, inventory_tables(inventory, on_skip))
    if is_list(uri):
        return Source(uri, iter([read_list(uri)]))
    return Source(uri, iter([_found([info])]))


def count_archived(table: pa.Table) -> int:
    """Counts the objects of a source's table that must be restored before they can be read."""
    if "storage_class" not in table.column_names:
        return 0
    return int(pc.sum(pc.is_in(table["storage_class"], pa.array(_ARCHIVE_CLASSES))).as_py() or 0)


def _object_at(uri: str, storage: Storage) -> ObjectInfo | None:
    """Gives the object of that name; null for a folder or prefix."""
    if not storage.is_local and (uri.endswith("/") or not split_object(uri)[1]):
        return None
    try:
        return storage.stat(uri)
    except StorageError as error:
        if storage.is_local:
            is_folder = error.status is Status.UNSUPPORTED and uri_to_path(uri).is_dir()
        else:
            # Without s3:ListBucket a missing key is forbidden, not missing.
            is_folder = error.status in (Status.NOT_FOUND, Status.ACCESS_DENIED)
        if is_folder:
            return None
        raise


def _folder_tables(folder: str, on_skip: OnSkip) -> Iterator[pa.Table]:
    infos = storage_for(folder).list(folder, on_skip=on_skip)
    videos = _videos_among(infos, folder, on_skip)
    while some := list(itertools.islice(videos, _ROWS_AT_ONCE)):
        yield _found(some)


def _found(infos: list[ObjectInfo]) -> pa.Table:
    classes = pa.array([info.storage_class for info in infos], pa.string())
    return table_from_infos(infos).append_column("storage_class", classes)


def _videos_among(
    infos: Iterable[ObjectInfo], folder: str, on_skip: OnSkip
) -> Iterator[ObjectInfo]:
    for info in infos:
        reason = why_not(relative_name(info.uri, folder))
        if reason is None:
            yield info
        else:
            on_skip(info.uri, reason)
