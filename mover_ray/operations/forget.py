"""`forget`: takes a video out of a destination and proves the rest anew.

Its rows, masks and crops go from the parts that count, from those that were set aside, from
the manifest and from the work lists of earlier attempts. A crash in between leaves the record
of before or that of after; the same command again ends the work.
"""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mover_ray.datasets import manifest as manifests
from mover_ray.errors import ConfigError, LocationError
from mover_ray.operations.runs import find_run
from mover_ray.pipelines import proof
from mover_ray.pipelines.destination import (
    ATTEMPTS_FOLDER,
    ORPHANS_FOLDER,
    Destination,
    Part,
)
from mover_ray.pipelines.lease import Lease, LeaseConfig, hold
from mover_ray.pipelines.parts import read_table, write_part
from mover_ray.pipelines.progress import Progress
from mover_ray.provenance import sha256_bytes, utc_now
from mover_ray.storage import normalise

_FOLDERS: Final = {"score": "results", "extract": "crops"}
#: Of a part that was written without the forgotten rows.
_KIND: Final = "f"
# What `proof.finish` writes by itself.
_PROVED: Final = ("attempt", "total", "counts", "files")


@dataclass(frozen=True, kw_only=True, slots=True)
class Forgotten:
    """What was removed."""

    dest: str
    """Destination."""
    video_ids: tuple[str, ...]
    """Ids of the videos, a file's older versions included."""
    rows: int
    """Rows that counted."""
    masks: int
    """Masks in them."""
    crops: int
    """Crops in them."""
    leftovers: int
    """Files set aside or lists of earlier attempts that named a video."""
    versioned: bool
    """The store may keep older versions of what was overwritten or deleted."""

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        return asdict(self)


def forget(dest: str, video: str, progress: Progress) -> Forgotten:
    """Removes a video from a finished run.

    Args:
        dest: Destination of `score` or `extract`.
        video: Its id, its uri or its file name.
        progress: Told while another run holds the destination.

    Raises:
        LocationError: There is no run, it has not finished, or no or several such videos.
        HeldError: A live run holds the destination.
    """
    destination = _open(dest)
    _success(destination)  # before the lease, which writes
    with hold(destination, LeaseConfig(), progress) as lease:
        success = _success(destination)
        names = [str(entry["name"]) for entry in success["files"]]
        ids = _ids_of(destination, names, video)
        touched = _parts_with(destination, ids, names)
        removed = _count(touched, ids)
        if touched or _in_manifest(destination, ids):
            _renew(destination, lease, success, touched, ids)
        leftovers = _purge(destination, ids)
    return Forgotten(
        dest=destination.base,
        video_ids=tuple(map(str, ids)),
        leftovers=leftovers,
        versioned=not destination.storage.is_local,
        **removed,
    )


def _open(dest: str) -> Destination:
    base, command = find_run(dest)
    if command not in _FOLDERS:
        raise ConfigError(
            f"videos are not forgotten one by one in what `{command}` made: `{base}`",
            hint="forge that corpus again without the video",
        )
    return Destination(base, _FOLDERS[command])


def _success(destination: Destination) -> dict[str, Any]:
    success = destination.success()
    if success is None:
        raise LocationError(
            f"the run has not finished: `{destination.base}`",
            hint="let it end first, then forget the video",
        )
    return success


def _ids_of(destination: Destination, names: list[str], video: str) -> list[int]:
    """Gives the ids that a text names in the parts, or in what an earlier call left undone."""
    tables = [read_table(destination, name, ("video_id", "uri")) for name in names]
    tables += [table for _, table in _leftovers(destination)]
    named: dict[int, str] = {}
    for table in tables:
        ids, uris = table["video_id"].to_pylist(), table["uri"].to_pylist()
        named.update(zip(ids, uris, strict=True))
    exact = [
        one for one, uri in named.items() if video in (str(one), uri) or _normalised(video) == uri
    ]
    found = exact or [one for one, uri in named.items() if uri.endswith(f"/{video}")]
    if len({named[one] for one in found}) > 1:
        raise LocationError(
            f"{len(found)} videos have this name: `{video}`", hint="name one by its uri or its id"
        )
    if not found:
        raise LocationError(
            f"no such video: `{video}`", hint="name it by its id, its uri or its file name"
        )
    return sorted(found)


def _normalised(video: str) -> str | None:
    """Gives the uri that a path stands for; None where the text is none."""
    try:
        return normalise(video)
    except LocationError:
        return None


def _parts_with(destination: Destination, ids: list[int], names: list[str]) -> dict[str, pa.Table]:
    """Reads the parts that hold one of the videos."""
    found = {}
    for name in names:
        if _holds(read_table(destination, name, ("video_id",)), ids):
            found[name] = read_table(destination, name)
    return found


def _count(parts: Mapping[str, pa.Table], ids: list[int]) -> dict[str, int]:
    counts = {"rows": 0, "masks": 0, "crops": 0}
    for table in parts.values():
        rows = table.filter(_among(table, ids))
        counts["rows"] += rows.num_rows
        for name in ("masks", "crops"):
            if name in rows.column_names:
                counts[name] += pc.sum(pc.list_value_length(rows[name]), min_count=0).as_py()
    return counts


def _in_manifest(destination: Destination, ids: list[int]) -> bool:
    manifest = destination.read_manifest()
    return manifest is not None and _holds(manifest, ids)


def _renew(
    destination: Destination,
    lease: Lease,
    success: Mapping[str, Any],
    touched: Mapping[str, pa.Table],
    ids: list[int],
) -> None:
    """Writes what is left of the touched parts as a new attempt and proves that whole."""
    manifest = destination.read_manifest()
    if manifest is None:
        raise LocationError(f"the run has no manifest: `{destination.base}`")
    manifest = manifest.filter(pc.invert(_among(manifest, ids)))
    kept = [Part(**entry) for entry in success["files"] if entry["name"] not in touched]
    attempt = max(lease.last_attempt, destination.last_attempt_number()) + 1
    last = destination.last_attempt() or {}
    lease.begin(attempt)
    for task, (_, table) in enumerate(sorted(touched.items())):
        rows = table.filter(pc.invert(_among(table, ids)))
        if rows.num_rows:
            write_part(destination, attempt, task, rows, kind=_KIND)
    destination.write_manifest(manifest)
    destination.write_attempt(
        {
            "attempt": attempt,
            "run_id": success["run_id"],
            "identity": last["identity"],
            "started_at": utc_now(),
            "accepted": [part.as_json() for part in kept],
        }
    )
    record = {key: value for key, value in success.items() if key not in _PROVED}
    record["manifest_sha256"] = sha256_bytes(manifests.encode(manifest))
    proof.finish(destination, lease, attempt, kept, manifest, record)


def _purge(destination: Destination, ids: list[int]) -> int:
    """Deletes what no reader counts and still names a video; gives how many files went."""
    named = [uri for uri, table in _leftovers(destination) if _holds(table, ids)]
    for uri in named:
        destination.storage.delete(uri)
    return len(named)


def _leftovers(destination: Destination) -> list[tuple[str, pa.Table]]:
    """Reads ids and uris of the parts set aside and of the lists of earlier attempts."""
    found = []
    for folder in (ORPHANS_FOLDER, ATTEMPTS_FOLDER):
        for info in destination.storage.list(destination.uri(folder) + "/"):
            if info.uri.endswith(".parquet"):
                content = io.BytesIO(destination.storage.read(info.uri))
                found.append((info.uri, pq.read_table(content, columns=["video_id", "uri"])))
    return found


def _holds(table: pa.Table, ids: list[int]) -> bool:
    return bool(np.isin(table["video_id"].to_numpy(), ids).any())


def _among(table: pa.Table, ids: list[int]) -> pa.Array:
    return pa.array(np.isin(table["video_id"].to_numpy(), ids))
