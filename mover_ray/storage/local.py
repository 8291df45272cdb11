"""Files of this machine, and of whatever it has mounted.

A file has no etag: a version is its size and its time of change. Only regular files
are opened, so that a pipe or a device left in an archive cannot block a run.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mover_ray.errors import PreconditionFailed, StorageError
from mover_ray.status import Status
from mover_ray.storage.base import (
    CHUNK_BYTES,
    Fetched,
    ObjectInfo,
    OnSkip,
    changed,
    check_limit,
    check_size,
    copy_hashed,
    log_skip,
)
from mover_ray.storage.uris import absolute_to_uri, uri_to_path

#: Names of unfinished files begin so: Parquet readers pass over them.
TEMPORARY_PREFIX = ".tmp-"

_STATUS_OF_ERRNO = {
    errno.ENOENT: Status.NOT_FOUND,
    errno.ENOTDIR: Status.NOT_FOUND,
    errno.ENAMETOOLONG: Status.NOT_FOUND,
    errno.ELOOP: Status.NOT_FOUND,
    errno.EACCES: Status.ACCESS_DENIED,
    errno.EPERM: Status.ACCESS_DENIED,
    errno.EROFS: Status.ACCESS_DENIED,
    errno.EISDIR: Status.UNSUPPORTED,
    errno.ENXIO: Status.UNSUPPORTED,
    errno.EOPNOTSUPP: Status.UNSUPPORTED,
}

#: What linking gives on FAT, on SMB and on most file systems in user space.
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class LocalStorage:
    """`Storage` on a file system."""

    is_local = True

    def stat(self, uri: str, *, version_id: str | None = None) -> ObjectInfo:
        """Gives size and time of change, links followed."""
        if version_id is not None:
            raise StorageError(Status.NOT_FOUND, f"files have no versions: `{uri}`")
        with _translated(uri):
            return _info(uri, uri_to_path(uri).stat())

    def list(self, prefix: str, *, on_skip: OnSkip | None = None) -> Iterator[ObjectInfo]:
        """Walks the folder depth first; linked folders too, unless they lead in a circle."""
        folder = uri_to_path(prefix)
        if folder.is_dir():
            yield from _walk(str(folder), on_skip or log_skip, ())

    def read(self, uri: str, *, expect: ObjectInfo | None = None) -> bytes:
        """Reads the whole file."""
        with _opened(uri, expect) as (file, info):
            return b"".join(_chunks(file, info))

    def read_range(
        self, uri: str, start: int, length: int, *, expect: ObjectInfo | None = None
    ) -> bytes:
        """Reads a piece of the file."""
        with _opened(uri, expect) as (file, _):
            file.seek(start)
            return file.read(length)

    def fetch(
        self,
        uri: str,
        target: BinaryIO,
        *,
        expect: ObjectInfo | None = None,
        limit_bytes: int | None = None,
    ) -> Fetched:
        """Copies the file; `changed` if it was written to meanwhile."""
        with _opened(uri, expect) as (file, info):
            check_limit(uri, info.size_bytes, limit_bytes)
            size_bytes, sha256 = copy_hashed(_chunks(file, info), target)
        return Fetched(size_bytes, sha256, None)

    def write(
        self, uri: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        """Writes a temporary file in the same folder and gives it the name at the end."""
        if if_match is not None:
            raise StorageError(
                Status.UNSUPPORTED, f"a file cannot be replaced on condition: `{uri}`"
            )
        path = uri_to_path(uri)
        with _translated(uri):
            _make_folder(path.parent)
            temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
            try:
                _write_durably(temporary, data)
                version = _info(uri, temporary.stat()).version
                _give_name(temporary, path, if_absent=if_absent)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(path.parent)
        return version

    def move(self, source: str, target: str) -> None:
        """Renames the file; both uris must lie on one file system."""
        origin, goal = uri_to_path(source), uri_to_path(target)
        with _translated(source):
            _make_folder(goal.parent)
            origin.replace(goal)
            _sync_folder(goal.parent)
            _sync_folder(origin.parent)

    def delete(self, uri: str) -> None:
        """Removes the file."""
        with _translated(uri):
            uri_to_path(uri).unlink(missing_ok=True)


@contextlib.contextmanager
def _translated(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _storage_error(error, uri) from error


def _storage_error(error: OSError, uri: str) -> StorageError:
    if error.errno == errno.EEXIST:
        return PreconditionFailed(Status.CHANGED, f"exists already: `{uri}`")
    status = _STATUS_OF_ERRNO.get(error.errno or 0, Status.FETCH_ERROR)
    return StorageError(status, f"{error.strerror or error}: `{uri}`")


def _info(uri: str, facts: os.stat_result) -> ObjectInfo:
    if not stat.S_ISREG(facts.st_mode):
        kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "not a regular file"
        raise StorageError(Status.UNSUPPORTED, f"{kind}: `{uri}`")
    return ObjectInfo(uri, facts.st_size, mtime_ns=facts.st_mtime_ns)


@contextlib.contextmanager
def _opened(uri: str, expect: ObjectInfo | None) -> Iterator[tuple[BinaryIO, ObjectInfo]]:
    """Opens a file of the expected version; raises `changed` at the end if it was altered."""
    with _translated(uri):
        # Without O_NONBLOCK a pipe would block here for ever.
        descriptor = os.open(uri_to_path(uri), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", closefd=True) as file:
            info = _info(uri, os.fstat(descriptor))
            check_size(uri, info.size_bytes, expect)
            if expect is not None and expect.mtime_ns not in (None, info.mtime_ns):
                raise changed(uri)
            yield file, info
            if _info(uri, os.fstat(descriptor)) != info:
                raise changed(uri)


def _chunks(file: BinaryIO, info: ObjectInfo) -> Iterator[bytes]:
    """Reads as many bytes as the file had when it was opened, however it grows."""
    left = info.size_bytes
    while left and (chunk := file.read(min(left, CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk
    if left:
        raise changed(info.uri)


def _walk(folder: str, on_skip: OnSkip, above: tuple[tuple[int, int], ...]) -> Iterator[ObjectInfo]:
    try:
        facts = Path(folder).stat()
        with os.scandir(folder) as entries:
            found = sorted((_sort_name(entry), entry) for entry in entries)
    except OSError as error:
        on_skip(absolute_to_uri(folder), f"folder not readable: {error.strerror}")
        return
    identity = (facts.st_dev, facts.st_ino)
    if identity in above:
        on_skip(absolute_to_uri(folder), "link to a folder above it")
        return
    for name, entry in found:
        if name.endswith(b"/"):
            yield from _walk(entry.path, on_skip, (*above, identity))
        else:
            yield from _entry_info(entry, on_skip)


def _sort_name(entry: os.DirEntry[str]) -> bytes:
    """Gives the name as an object store would sort it: a folder ends in a slash."""
    try:
        is_folder = entry.is_dir()
    except OSError:  # a link to itself; `_entry_info` says so
        is_folder = False
    return os.fsencode(entry.name) + b"/" * is_folder


def _entry_info(entry: os.DirEntry[str], on_skip: OnSkip) -> Iterator[ObjectInfo]:
    uri = absolute_to_uri(entry.path)
    try:
        yield _info(uri, entry.stat())
    except StorageError:
        on_skip(uri, "not a regular file")
    except OSError as error:
        on_skip(uri, f"file not readable: {error.strerror}")


def _make_folder(folder: Path) -> None:
    """Makes a folder and what is missing above it, each one durable."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _give_name(temporary: Path, path: Path, *, if_absent: bool) -> None:
    if not if_absent:
        temporary.replace(path)
        return
    try:
        # Unlike a rename, a second hard link never replaces what is there.
        path.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _rename_if_absent(temporary, path)


def _rename_if_absent(temporary: Path, path: Path) -> None:
    """Renames a file unless its new name is taken, where there are no hard links.

    Writers of one folder take turns, so that none comes between look and rename.
    """
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        temporary.replace(path)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Makes renames in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
