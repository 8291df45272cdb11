"""Brings a video's bytes within reach of the decoder and proves which bytes they were."""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from mover_ray.datasets.rows import expected_object
from mover_ray.datasets.sequences import split_sequence
from mover_ray.errors import InputError, LocationError, StorageError
from mover_ray.schemas import MANIFEST
from mover_ray.stages.base import Row
from mover_ray.status import Status
from mover_ray.storage import ObjectInfo, Storage, storage_for, uri_to_path
from mover_ray.video.attempt import ArchivedSequence, VideoBytes
from mover_ray.video.ranged_object import RangedObject

#: Smaller objects are read whole: one request and a hash of all bytes, for less than 0.25 s at
#: 80 MB/s and 30 ms to the first byte, where ranges for `keyframes` were measured to take 0.1 s.
WHOLE_BELOW_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class FetchedVideo:
    """A video as an open descriptor."""

    descriptor: int
    """Readable and seekable, at no particular position."""
    size_bytes: int
    sha256: str


class ReachableVideo:
    """A video that can be decoded; what it cost is complete once it has been."""

    def __init__(self, source: FetchedVideo | RangedObject, folder: str | None = None) -> None:
        """Takes an open source, which stays the caller's.

        Args:
            source: The video, or the archive that holds it.
            folder: Of an archive, the one with the pictures.
        """
        self._source = source
        self._folder = folder

    @property
    def bytes(self) -> VideoBytes:
        """What `VideoReader.open` takes."""
        if isinstance(self._source, RangedObject):
            return self._source
        if self._folder is not None:
            return ArchivedSequence(self._source.descriptor, self._folder)
        return self._source.descriptor

    @property
    def bytes_read(self) -> int:
        """Bytes that have been moved so far."""
        source = self._source
        return source.bytes_moved if isinstance(source, RangedObject) else source.size_bytes

    @property
    def waited_ms(self) -> float:
        """Milliseconds that the decoder has waited for bytes so far."""
        return self._source.waited_ms if isinstance(self._source, RangedObject) else 0.0

    def sha256(self) -> str | None:
        """Gives the hash of the whole video or archive, if all of it has been read."""
        if isinstance(self._source, RangedObject):
            return self._source.sha256()
        return self._source.sha256


@contextlib.contextmanager
def reachable(row: Row, max_bytes: int) -> Iterator[ReachableVideo]:
    """Gives the video of a manifest row, read by ranges where that may move fewer bytes.

    Local files and small objects are read whole, see `fetched`. Of other objects only what the
    decoder asks for is read, at most once, always of the same version; where it turns out to
    need most of one, that one is read whole. So is, in any case, the archive of an image sequence.

    Args:
        row: With `uri` and the pins `version_id`, `etag`, `size_bytes`, `mtime_ns`.
        max_bytes: Larger videos are refused.

    Raises:
        InputError: `not_found`, `access_denied`, `changed`, `archived`,
            `fetch_error` or `too_large`.
    """
    with contextlib.ExitStack() as stack:
        sequence = split_sequence(row["uri"])
        if sequence is not None:
            archive, folder = sequence
            found = stack.enter_context(fetched({**row, "uri": archive}, max_bytes))
            yield ReachableVideo(found, folder)
            return
        video = _ranged(row, max_bytes)
        if video is None:
            yield ReachableVideo(stack.enter_context(fetched(row, max_bytes)))
        else:
            stack.callback(video.close)
            yield ReachableVideo(video)


def unpinned(uri: str) -> Row:
    """Gives the manifest row of an object of which nothing is known but its name."""
    return {**dict.fromkeys(MANIFEST.names), "uri": uri}


@contextlib.contextmanager
def fetched(row: Row, max_bytes: int) -> Iterator[FetchedVideo]:
    """Gives the video of a manifest row for the length of a `with` block.

    The bytes are hashed as they are read, because object-store readers return a
    flipped byte in silence. A local file is read in place; a stored object goes
    through an unlinked temporary file, so that no name is ever made from a key.

    Args:
        row: With `uri` and the pins `version_id`, `etag`, `size_bytes`, `mtime_ns`.
        max_bytes: Larger videos are refused.

    Raises:
        InputError: `not_found`, `access_denied`, `changed`, `archived`,
            `fetch_error` or `too_large`.
    """
    with _translated():
        storage = storage_for(row["uri"])
        opened = _in_place if storage.is_local else partial(_copied, storage)
        with opened(row, max_bytes) as video:
            yield video


def _ranged(row: Row, max_bytes: int) -> RangedObject | None:
    """Gives a large object that is not on disk; None for anything else."""
    with _translated():
        storage = storage_for(row["uri"])
        if storage.is_local or 0 <= (row["size_bytes"] or -1) < WHOLE_BELOW_BYTES:
            return None
        pinned = _pinned(storage, row)
    if pinned.size_bytes < WHOLE_BELOW_BYTES:
        return None
    if pinned.size_bytes > max_bytes:
        text = f"{pinned.size_bytes} bytes; the limit is {max_bytes}"
        raise InputError(Status.TOO_LARGE, text)
    return RangedObject(partial(storage.read_range, row["uri"], expect=pinned), pinned.size_bytes)


def _pinned(storage: Storage, row: Row) -> ObjectInfo:
    """Gives what tells the version that must be read; all ranges must be of the same one."""
    expected = expected_object(row)
    if expected is not None and (expected.etag or expected.version_id):
        return expected
    return storage.stat(row["uri"], version_id=row["version_id"])


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise InputError(error.status, str(error)) from error
    except LocationError as error:
        raise InputError(Status.NOT_FOUND, str(error)) from error


@contextlib.contextmanager
def _in_place(row: Row, max_bytes: int) -> Iterator[FetchedVideo]:
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        descriptor = os.open(uri_to_path(row["uri"]), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InputError(_status_of(error), f"cannot be opened: {error.strerror}") from error
    try:
        yield _inspected(descriptor, row, max_bytes)
    finally:
        os.close(descriptor)


def _inspected(descriptor: int, row: Row, max_bytes: int) -> FetchedVideo:
    """Hashes an open file that must not change meanwhile."""
    try:
        _check_file(descriptor, row, max_bytes)
        sha256 = _hash(descriptor)
        _check_file(descriptor, row, max_bytes)
        return FetchedVideo(descriptor, os.fstat(descriptor).st_size, sha256)
    except OSError as error:  # a bad sector, a server that is gone
        raise InputError(_status_of(error), f"cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def _copied(storage: Storage, row: Row, max_bytes: int) -> Iterator[FetchedVideo]:
    with tempfile.TemporaryFile(prefix="mover-ray-") as file:
        try:
            got = storage.fetch(
                row["uri"], file, expect=expected_object(row), limit_bytes=max_bytes
            )
            file.flush()
        except OSError as error:  # most likely the disk is full
            text = f"the temporary file cannot be written: {error.strerror}"
            raise InputError(Status.FETCH_ERROR, text) from error
        yield FetchedVideo(file.fileno(), got.size_bytes, got.sha256)


def _check_file(descriptor: int, row: Row, max_bytes: int) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise InputError(Status.UNSUPPORTED, "not a regular file")
    pinned = (row["size_bytes"], row["mtime_ns"])
    for name, was, now in zip(
        ("size", "modification time"), pinned, (found.st_size, found.st_mtime_ns), strict=True
    ):
        if was is not None and was != now:
            raise InputError(Status.CHANGED, f"{name} was {was} in the manifest and is {now}")
    if found.st_size > max_bytes:
        raise InputError(Status.TOO_LARGE, f"{found.st_size} bytes; the limit is {max_bytes}")


def _hash(descriptor: int) -> str:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _status_of(error: OSError) -> Status:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return Status.NOT_FOUND
    if isinstance(error, PermissionError):
        return Status.ACCESS_DENIED
    return Status.FETCH_ERROR
