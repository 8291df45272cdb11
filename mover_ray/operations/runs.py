"""Looks after runs that lie at a destination."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mover_ray.errors import LocationError, StorageError
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.parts import read_indexes, read_table
from mover_ray.pipelines.proof import take_account
from mover_ray.provenance import sha256_bytes
from mover_ray.storage import normalise

_FOLDERS = {"score": "results", "extract": "crops", "forge": "files"}
_SHOWN_IDS = 10
_READERS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What a run's files say, held against its manifest and its records."""

    dest: str
    """Where the run lies."""
    finished: bool
    """`_SUCCESS.json` is there."""
    videos: int
    """Videos of the manifest."""
    counts: dict[str, int]
    """Rows by status, replaced ones left out."""
    missing: int
    """Videos without a row."""
    repeated: int
    """Videos with two rows of one attempt."""
    unknown: int
    """Rows of videos that the manifest does not have."""
    examples: tuple[str, ...]
    """Ids of some of those videos."""
    altered: tuple[str, ...]
    """Files that are missing, or not those that were recorded."""
    stray: tuple[str, ...]
    """Files beside the results that no reader may count."""

    @property
    def proved(self) -> bool:
        """Whether the run is finished, with one row a video in unaltered files."""
        wrong = self.missing or self.repeated or self.unknown or self.altered
        return self.finished and not wrong

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        return {**asdict(self), "proved": self.proved}


def verify_run(dest: str) -> Verification:
    """Reads every file of a run and proves it again; writes nothing.

    Args:
        dest: The destination of `score` or `extract`.

    Raises:
        LocationError: There is no run.
    """
    destination = open_run(dest)
    manifest = destination.read_manifest()
    if manifest is None:
        raise LocationError(f"the run has no manifest: `{destination.base}`")
    success = destination.success()
    last = destination.last_attempt() or {"accepted": []}
    counting = destination.counting_parts()
    present = destination.part_names()
    recorded = success["files"] if success else last["accepted"]
    altered = _altered(destination, recorded, present)
    altered += _damaged(destination, [name for name in counting if name not in altered], present)
    readable = [name for name in counting if name in present and name not in altered]
    account = take_account(
        manifest["video_id"].to_numpy(), list(read_indexes(destination, readable))
    )
    wrong = np.concatenate([account.missing, account.repeated, account.unknown])
    return Verification(
        dest=destination.base,
        finished=success is not None,
        videos=manifest.num_rows,
        counts=dict(sorted(account.counts.items())),
        missing=account.missing.size,
        repeated=account.repeated.size,
        unknown=account.unknown.size,
        examples=tuple(str(video_id) for video_id in wrong[:_SHOWN_IDS]),
        altered=altered,
        stray=tuple(sorted(set(present) - set(counting))),
    )


def open_run(dest: str) -> Destination:
    """Gives the destination of a run, whatever command made it.

    Raises:
        LocationError: There is no run.
    """
    base, command = find_run(dest)
    return Destination(base, _FOLDERS[command])


def find_run(dest: str) -> tuple[str, str]:
    """Gives where a run lies, and the command that made it.

    Raises:
        LocationError: There is no run.
    """
    base = normalise(dest)
    try:
        last = Destination(base, "").last_attempt()
    except StorageError as error:
        raise LocationError(f"the run cannot be read: `{base}`: {error}") from error
    if last is None:
        raise LocationError(f"no run at: `{base}`", hint="name the folder that was given as --out")
    return base, str(last["identity"]["command"])


def _damaged(destination: Destination, names: list[str], present: list[str]) -> tuple[str, ...]:
    """Names the parts that are no whole Parquet files, recorded or not."""
    damaged = []
    for name in names:
        try:
            if name in present:
                read_table(destination, name, ("video_id",))
        except LocationError:
            damaged.append(name)
    return tuple(damaged)


def _altered(
    destination: Destination, recorded: list[dict[str, Any]], present: list[str]
) -> tuple[str, ...]:
    """Names the recorded files that are gone or have other bytes."""

    def is_altered(entry: dict[str, Any]) -> bool:
        if entry["name"] not in present:
            return True
        content = destination.storage.read(destination.part_uri(entry["name"]))
        return sha256_bytes(content) != str(entry["sha256"])

    with ThreadPoolExecutor(_READERS) as pool:
        flags = list(pool.map(is_altered, recorded))
    return tuple(entry["name"] for entry, flag in zip(recorded, flags, strict=True) if flag)
