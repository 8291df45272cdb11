"""The layout of a destination: what lies where, and which part files count.

A part file is its own commit record: it is written whole, as
`results/<attempt>-<task>.parquet`, and holds rows of one attempt only. Which
parts count is said by `_SUCCESS.json` once a run has finished and before that
by `_attempts/<n>.json` together with the parts of attempt n itself. Where two
counting parts hold the same video, the one of the later attempt is right.
"""

import contextlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa

from mover_ray.datasets import manifest as manifests
from mover_ray.errors import LocationError, StorageError
from mover_ray.pipelines.ranged import RangedFile
from mover_ray.provenance import dump_json
from mover_ray.status import Status
from mover_ray.storage import Storage, join, storage_for, uri_to_path
from mover_ray.storage.local import TEMPORARY_PREFIX

SUCCESS_NAME = "_SUCCESS.json"
LEASE_NAME = "_lease.json"
PROGRESS_NAME = "_progress.json"
ATTEMPTS_FOLDER = "_attempts"
ORPHANS_FOLDER = "_orphans"

_ATTEMPT_KEYS = ("attempt", "run_id", "identity", "accepted")
_SUCCESS_KEYS = ("attempt", "total", "files")

_PART_NAME = re.compile(r"(\d{5,})-([a-z]?)(\d{6,})\.parquet")
_ATTEMPT_NAME = re.compile(r"(\d{5,})\.json")
_TEMPORARY_NAME = re.compile(re.escape(TEMPORARY_PREFIX) + "[0-9a-f]{16}")


@dataclass(frozen=True, order=True, slots=True)
class Part:
    """One part file: its name and what was recorded of it."""

    name: str
    rows: int
    size_bytes: int
    sha256: str

    @property
    def attempt(self) -> int:
        """The attempt that wrote it."""
        return attempt_of(self.name)

    def as_json(self) -> dict[str, Any]:
        """Gives the record as it stands in `_attempts/` and `_SUCCESS.json`."""
        return asdict(self)


def part_name(attempt: int, task: int, kind: str = "") -> str:
    """Gives the file name of a part; `kind` is one letter for parts that no task wrote."""
    return f"{attempt:05d}-{kind}{task:06d}.parquet"


def attempt_of(name: str) -> int:
    """Gives the attempt that a part's file name carries.

    Raises:
        ValueError: The name is not that of a part.
    """
    match = _PART_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"not the name of a part file: {name}")
    return int(match[1])


class Destination:
    """A folder or prefix that holds one run, behind the storage protocol."""

    def __init__(self, base: str, folder: str) -> None:
        """Names the destination; nothing is read or written yet.

        Args:
            base: Absolute path or `s3://` prefix.
            folder: Where the parts lie under it: `results` or `crops`.
        """
        self.base = base
        self.folder = folder
        self.storage: Storage = storage_for(base)

    def uri(self, *names: str) -> str:
        """Gives the address of something under the destination."""
        return join(self.base, *names)

    def part_uri(self, name: str) -> str:
        """Gives the address of a part."""
        return self.uri(self.folder, name)

    def open_part(self, name: str) -> BinaryIO:
        """Opens a part for random access; of a stored object only what is read is fetched."""
        uri = self.part_uri(name)
        if self.storage.is_local:
            try:
                return uri_to_path(uri).open("rb")
            except OSError as error:
                text = f"cannot be opened: `{uri}`: {error.strerror}"
                raise StorageError(Status.NOT_FOUND, text) from error
        return cast("BinaryIO", RangedFile(self.storage, self.storage.stat(uri)))

    def read_document(self, *names: str) -> dict[str, Any] | None:
        """Gives a JSON document, or None where there is none.

        Raises:
            LocationError: What is there is no JSON document.
        """
        try:
            return dict(json.loads(self.storage.read(self.uri(*names))))
        except StorageError as error:
            if error.status is Status.NOT_FOUND:
                return None
            raise
        except (ValueError, TypeError) as error:
            raise self._damaged(names) from error

    def _read_record(self, keys: Collection[str], *names: str) -> dict[str, Any] | None:
        document = self.read_document(*names)
        if document is not None and not set(keys) <= set(document):
            raise self._damaged(names)
        return document

    def _damaged(self, names: Sequence[str]) -> LocationError:
        return LocationError(
            f"the run's record is damaged: `{self.uri(*names)}`",
            hint="restore that file, or start over with --fresh or another --out",
        )

    def write_document(self, document: Mapping[str, Any], *names: str) -> None:
        """Writes a JSON document whole, replacing what was there."""
        self.storage.write(self.uri(*names), dump_json(document).encode())

    def read_manifest(self) -> pa.Table | None:
        """Gives the manifest, or None where there is none yet."""
        try:
            return manifests.read(self.uri(manifests.FILE_NAME))
        except StorageError as error:
            if error.status is Status.NOT_FOUND:
                return None
            raise

    def write_manifest(self, table: pa.Table) -> None:
        """Writes the manifest whole."""
        manifests.write(self.uri(manifests.FILE_NAME), table)

    def part_names(self) -> list[str]:
        """Lists the part files that are there, whether they count or not, by name."""
        names = self._names_in(self.folder)
        return sorted(name for name in names if _PART_NAME.fullmatch(name))

    def parts_of(self, attempt: int) -> list[str]:
        """Lists the part files that one attempt wrote, by name."""
        return [name for name in self.part_names() if attempt_of(name) == attempt]

    def last_attempt_number(self) -> int:
        """Gives the number of the latest attempt; 0 before the first."""
        matches = map(_ATTEMPT_NAME.fullmatch, self._names_in(ATTEMPTS_FOLDER))
        return max((int(match[1]) for match in matches if match), default=0)

    def last_attempt(self) -> dict[str, Any] | None:
        """Gives the document of the latest attempt, or None before the first."""
        number = self.last_attempt_number()
        if not number:
            return None
        name = f"{number:05d}.json"
        return self._read_record(_ATTEMPT_KEYS, ATTEMPTS_FOLDER, name)

    def success(self) -> dict[str, Any] | None:
        """Gives the document that a finished run ends with, or None before."""
        return self._read_record(_SUCCESS_KEYS, SUCCESS_NAME)

    def write_work_list(self, attempt: int, work: pa.Table) -> str:
        """Writes the videos that an attempt is to process; gives the file's address."""
        uri = self.uri(ATTEMPTS_FOLDER, f"{attempt:05d}.parquet")
        manifests.write(uri, work)
        return uri

    def sweep(self) -> None:
        """Removes half-written files that a killed writer left on disk."""
        if not self.storage.is_local:
            return
        for folder in (self.base, self.uri(self.folder), self.uri(ATTEMPTS_FOLDER)):
            for path in uri_to_path(folder).glob(f"{TEMPORARY_PREFIX}*"):
                if _TEMPORARY_NAME.fullmatch(path.name) and path.is_file():
                    path.unlink(missing_ok=True)

    def write_attempt(self, document: Mapping[str, Any]) -> None:
        """Writes the document of a new attempt; its number must be new.

        Raises:
            PreconditionFailed: Another start took the number.
        """
        uri = self.uri(ATTEMPTS_FOLDER, f"{document['attempt']:05d}.json")
        self.storage.write(uri, dump_json(document).encode(), if_absent=True)

    def success_version(self) -> str | None:
        """Gives what tells the present `_SUCCESS.json` from others; None where there is none."""
        if self.storage.is_local:
            return None  # the lease is the kernel's there: nobody else can write it
        try:
            return self.storage.stat(self.uri(SUCCESS_NAME)).etag
        except StorageError as error:
            if error.status is Status.NOT_FOUND:
                return None
            raise

    def write_success(self, document: Mapping[str, Any], over: str | None) -> None:
        """Writes `_SUCCESS.json`, on an object store only over the version `over`.

        Raises:
            PreconditionFailed: Another run has written it meanwhile.
        """
        uri, content = self.uri(SUCCESS_NAME), dump_json(document).encode()
        if self.storage.is_local:
            self.storage.write(uri, content)
        else:
            self.storage.write(uri, content, if_absent=over is None, if_match=over)

    def forget_success(self) -> None:
        """Removes `_SUCCESS.json`, so that no reader takes an abandoned run for finished."""
        with contextlib.suppress(StorageError):
            self.storage.delete(self.uri(SUCCESS_NAME))

    def counting_parts(self) -> list[str]:
        """Lists the names of the parts that readers go by."""
        success = self.success()
        if success is not None:
            return [entry["name"] for entry in success["files"]]
        last = self.last_attempt()
        if last is None:
            return []
        accepted = [entry["name"] for entry in last["accepted"]]
        return sorted(accepted + self.parts_of(last["attempt"]))

    def set_aside(self, names: Iterable[str]) -> None:
        """Moves part files to `_orphans/`."""
        for name in names:
            try:
                self.storage.move(self.part_uri(name), self.uri(ORPHANS_FOLDER, name))
            except StorageError as error:
                if error.status is not Status.NOT_FOUND:  # else its own writer was quicker
                    raise

    def _names_in(self, folder: str) -> list[str]:
        prefix = self.uri(folder) + "/"
        return [info.uri.removeprefix(prefix) for info in self.storage.list(prefix)]
