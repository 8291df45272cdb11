"""A store in this process's memory that keeps S3's rules: etags, versions, conditions."""

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mover_ray.errors import PreconditionFailed, StorageError
from mover_ray.status import Status
from mover_ray.storage.base import (
    Fetched,
    ObjectInfo,
    OnSkip,
    changed,
    check_limit,
    check_size,
    copy_hashed,
)
from mover_ray.storage.uris import as_folder


@dataclass(frozen=True, slots=True)
class _Version:
    info: ObjectInfo
    data: bytes


class MemoryStorage:
    """`Storage` under `memory://`, a bucket with versions; empty in every new process."""

    is_local = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._present: dict[str, _Version] = {}
        self._versions: dict[tuple[str, str], _Version] = {}

    def stat(self, uri: str, *, version_id: str | None = None) -> ObjectInfo:
        """Gives the present version, or the one that is asked for."""
        return self._find(uri, version_id).info

    def list(self, prefix: str, *, on_skip: OnSkip | None = None) -> Iterator[ObjectInfo]:
        """Gives what is there when it is called; like S3, without version ids."""
        del on_skip  # every name holds an object
        folder = as_folder(prefix)
        with self._lock:
            infos = [version.info for version in self._present.values()]
        for info in sorted(infos, key=lambda info: info.uri.encode()):
            if info.uri.startswith(folder):
                yield ObjectInfo(info.uri, info.size_bytes, info.etag, None, info.mtime_ns)

    def read(self, uri: str, *, expect: ObjectInfo | None = None) -> bytes:
        """Gives the bytes."""
        return self._get(uri, expect).data

    def read_range(
        self, uri: str, start: int, length: int, *, expect: ObjectInfo | None = None
    ) -> bytes:
        """Gives a piece of the bytes."""
        return self._get(uri, expect).data[start : start + length]

    def fetch(
        self,
        uri: str,
        target: BinaryIO,
        *,
        expect: ObjectInfo | None = None,
        limit_bytes: int | None = None,
    ) -> Fetched:
        """Copies the bytes."""
        version = self._get(uri, expect)
        check_limit(uri, version.info.size_bytes, limit_bytes)
        size_bytes, sha256 = copy_hashed([version.data], target)
        return Fetched(size_bytes, sha256, version.info.etag)

    def write(
        self, uri: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        """Adds a version."""
        with self._lock:
            present = self._present.get(uri)
            if if_absent and present is not None:
                raise PreconditionFailed(Status.CHANGED, f"exists already: `{uri}`")
            if if_match is not None and (present is None or present.info.etag != if_match):
                raise PreconditionFailed(Status.CHANGED, f"is another version: `{uri}`")
            return self._put(uri, data)

    def move(self, source: str, target: str) -> None:
        """Copies, then deletes."""
        version = self._find(source, None)
        with self._lock:
            self._put(target, version.data)
        self.delete(source)

    def delete(self, uri: str) -> None:
        """Hides the object; its versions stay."""
        with self._lock:
            self._present.pop(uri, None)

    def _put(self, uri: str, data: bytes) -> str:
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        version_id = str(len(self._versions) + 1)
        info = ObjectInfo(uri, len(data), etag, version_id, time.time_ns())
        self._present[uri] = self._versions[uri, version_id] = _Version(info, data)
        return etag

    def _find(self, uri: str, version_id: str | None) -> _Version:
        with self._lock:
            if version_id is None:
                version = self._present.get(uri)
            else:
                version = self._versions.get((uri, version_id))
        if version is None:
            raise StorageError(Status.NOT_FOUND, f"no such object: `{uri}`")
        return version

    def _get(self, uri: str, expect: ObjectInfo | None) -> _Version:
        version = self._find(uri, expect.version_id if expect else None)
        if expect is not None and expect.etag not in (None, version.info.etag):
            raise changed(uri)
        check_size(uri, version.info.size_bytes, expect)
        return version
