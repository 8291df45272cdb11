"""What every store can do, whatever it is made of."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from mover_ray.errors import StorageError
from mover_ray.status import Status

#: Bytes that are in memory at once while an object is copied.
CHUNK_BYTES = 1 << 20

#: Told of a name below a prefix that holds no object, and why.
OnSkip = Callable[[str, str], None]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One version of one object."""

    uri: str
    size_bytes: int
    etag: str | None = None
    """As the store gives it, without quotation marks; null on disk."""
    version_id: str | None = None
    """Null on disk, in buckets without versions and in listings."""
    mtime_ns: int | None = None
    """Last change, nanoseconds since 1970."""
    storage_class: str | None = None
    """Null where the store has no classes, or for its standard class."""

    @property
    def version(self) -> str:
        """What tells this version of the object from others."""
        return version_text(self.version_id, self.etag, self.size_bytes, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was read by `Storage.fetch`."""

    size_bytes: int
    sha256: str
    """Of the bytes that were handed over; hexadecimal."""
    etag: str | None


class Storage(Protocol):
    """Objects by uri. Each method raises `StorageError` with the status that fits.

    `not_found`, `access_denied`, `changed` (not the expected version any more),
    `archived` (must be restored first), `unsupported` (a folder, a device, a request
    that this store cannot keep) and `fetch_error` (anything else, after retries).
    """

    is_local: bool
    """Whether a uri names a file that other programs on this machine can open."""

    def stat(self, uri: str, *, version_id: str | None = None) -> ObjectInfo:
        """Gives what is known of an object's present version, or of `version_id`."""
        ...

    def list(self, prefix: str, *, on_skip: OnSkip | None = None) -> Iterator[ObjectInfo]:
        """Gives every object below the folder `prefix`, at any depth, sorted by name.

        Args:
            prefix: A folder: `a/run1` does not take in `a/run10`. Nothing comes from
                one that does not exist.
            on_skip: Told what is there and no object (a device, a folder that may not
                be read); without it a warning is logged.
        """
        ...

    def read(self, uri: str, *, expect: ObjectInfo | None = None) -> bytes:
        """Gives the whole object; of the version `expect`, if one is given."""
        ...

    def read_range(
        self, uri: str, start: int, length: int, *, expect: ObjectInfo | None = None
    ) -> bytes:
        """Gives `length` bytes from `start` on; fewer only where the object ends."""
        ...

    def fetch(
        self,
        uri: str,
        target: BinaryIO,
        *,
        expect: ObjectInfo | None = None,
        limit_bytes: int | None = None,
    ) -> Fetched:
        """Copies an object into `target`, hashing what it hands over.

        Args:
            uri: The object.
            target: Seekable, because a cut transfer starts over; written from its
                present position on, and its present end is given up.
            expect: The version that must be read.
            limit_bytes: More raises `StorageError` with `too_large`, before the transfer
                where the store tells the size.
        """
        ...

    def write(
        self, uri: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        """Writes an object whole or not at all, folders above it included.

        Args:
            uri: The object.
            data: Its content.
            if_absent: Write only if there is no such object.
            if_match: Write only over the version with this etag.

        Returns:
            The new version's etag (`ObjectInfo.version` on disk).

        Raises:
            PreconditionFailed: The object is there, or is another version.
        """
        ...

    def move(self, source: str, target: str) -> None:
        """Renames an object within the store, over `target` if that is there."""
        ...

    def delete(self, uri: str) -> None:
        """Removes an object; one that is not there is no error."""
        ...


def version_text(
    version_id: str | None, etag: str | None, size_bytes: int | None, mtime_ns: int | None
) -> str:
    """Gives the version id, else the etag, else `size:mtime`, else nothing at all."""
    if version_id or etag or size_bytes is None:
        return version_id or etag or ""
    return f"{size_bytes}:{'' if mtime_ns is None else mtime_ns}"


def log_skip(uri: str, reason: str) -> None:
    """Warns of a name that `Storage.list` passes over."""
    _logger.warning("passed over: `%s`: %s", uri, reason)


def check_limit(uri: str, size_bytes: int, limit_bytes: int | None) -> None:
    """Raises `too_large` if an object has more bytes than are allowed."""
    if limit_bytes is not None and size_bytes > limit_bytes:
        raise StorageError(
            Status.TOO_LARGE, f"{size_bytes} bytes, {limit_bytes} are allowed: `{uri}`"
        )


def changed(uri: str) -> StorageError:
    """Gives the error for an object that is not the expected version any more."""
    return StorageError(Status.CHANGED, f"changed since it was listed: `{uri}`")


def check_size(uri: str, size_bytes: int, expect: ObjectInfo | None) -> None:
    """Raises `changed` if the size is not the expected one."""
    if expect is not None and size_bytes != expect.size_bytes:
        raise changed(uri)


def copy_hashed(chunks: Iterable[bytes], target: BinaryIO) -> tuple[int, str]:
    """Writes `chunks` to `target`; gives the number of bytes and their SHA-256."""
    digest = hashlib.sha256()
    size = 0
    for chunk in chunks:
        target.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()
