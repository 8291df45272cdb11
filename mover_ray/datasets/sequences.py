"""Image sequences inside archives: how a row names one, and which ones an archive holds.

A sequence is the pictures of one folder of a tar archive. Its uri is the archive's, `!/` and the
folder, as in `s3://bucket/real_test/7.tar.gz!/7/real/12`.
"""

import dataclasses
import io
import re
from collections import Counter
from typing import BinaryIO, Final, cast

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.storage import ObjectInfo, storage_for
from mover_ray.storage.picture_archive import PictureArchive
from mover_ray.storage.seekable import SeekableFile

#: Endings of the names of archives that can hold sequences.
ARCHIVE_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz")
#: Most sequences of one archive; their names are all in memory at once.
MOST_FOLDERS: Final = 100_000

_SEPARATOR: Final = "!/"
_SEQUENCE = re.compile(r"(.*?\.(?:tar|tar\.gz|tgz))!/(.*)", re.IGNORECASE | re.DOTALL)
_REQUEST_BYTES: Final = 8 * 2**20


def sequence_uri(archive: str, folder: str) -> str:
    """Gives the name of a sequence.

    Args:
        archive: Uri of the archive; it ends in one of `ARCHIVE_SUFFIXES`.
        folder: The folder inside, without a slash at either end; empty for the archive's top.
    """
    return f"{archive}{_SEPARATOR}{folder}"


def split_sequence(uri: str) -> tuple[str, str] | None:
    """Gives the archive and the folder of a sequence's uri; None for any other uri."""
    match = _SEQUENCE.fullmatch(uri)
    return None if match is None else (match[1], match[2])


def as_sequence(archive: ObjectInfo, folder: str) -> ObjectInfo:
    """Gives a sequence as an object: its own uri, with the archive's size and version."""
    return dataclasses.replace(archive, uri=sequence_uri(archive.uri, folder))


def list_folders(archive: ObjectInfo, limit_bytes: int) -> Counter[str]:
    """Counts the pictures in each folder of an archive that holds some.

    All of a gzipped archive is read, because it has no list of contents; nothing is written.

    Args:
        archive: Any version; all of it is read of this one.
        limit_bytes: Most bytes of the archive, unpacked.

    Raises:
        InputError: It is no archive, or damaged (`corrupt`); it is too large or cannot be read.
        StorageError: The store does not give it.
    """
    file = cast("BinaryIO", io.BufferedReader(_StoredFile(archive), _REQUEST_BYTES))
    folders: Counter[str] = Counter()
    for picture in PictureArchive(file, limit_bytes):
        folders[picture.folder] += 1
        if len(folders) > MOST_FOLDERS:
            raise InputError(Status.TOO_LARGE, f"more than {MOST_FOLDERS} folders of pictures")
    return folders


class _StoredFile(SeekableFile):
    """An object as a file that is read by ranges of one version."""

    def __init__(self, info: ObjectInfo) -> None:
        super().__init__(info.size_bytes)
        self._info = info

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        length = max(0, min(len(buffer), self._size - self._position))
        if length:
            uri = self._info.uri
            data = storage_for(uri).read_range(uri, self._position, length, expect=self._info)
            length = len(data)
            buffer[:length] = data
        self._position += length
        return length
