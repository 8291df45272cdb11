"""What a user may name as a source, as tables of manifest rows, a piece at a time."""

import itertools
from collections.abc import Iterable, Iterator

import pyarrow as pa

from mover_ray.datasets.lists import is_list, read_list
from mover_ray.datasets.rows import table_from_infos
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

#: Endings of names that are taken for videos in folders and under prefixes.
VIDEO_SUFFIXES = (
    *(".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m2v", ".m4v", ".mj2", ".mkv"),
    *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)

_ROWS_AT_ONCE = 1 << 16


def source_tables(uri: str, on_skip: OnSkip) -> Iterator[pa.Table]:
    """Gives the rows of a source; what is no video is told to `on_skip`.

    Args:
        uri: A folder or prefix, one video, or a list (CSV, Parquet, or a manifest).
        on_skip: Gets the uri and the reason of everything that is passed over.

    Raises:
        StorageError: The source is not there or may not be read.
        ConfigError: A list is not as it should be.
    """
    info = _object_at(uri, storage_for(uri))
    if info is None:
        yield from _folder_tables(uri, on_skip)
    elif is_list(uri):
        yield read_list(uri)
    else:
        yield table_from_infos([info])


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
        yield table_from_infos(some)


def _videos_among(
    infos: Iterable[ObjectInfo], folder: str, on_skip: OnSkip
) -> Iterator[ObjectInfo]:
    for info in infos:
        name = relative_name(info.uri, folder)
        if "/." in f"/{name}":
            on_skip(info.uri, "hidden")
        elif not name.lower().endswith(VIDEO_SUFFIXES):
            on_skip(info.uri, "not a video's file name")
        else:
            yield info
