"""`--since`: leaves out what an earlier run at another destination has answered.

A video counts as the same if it is the same version of the same object, however either run
came to know it: by a listing, which has etags, or by an inventory, which may have version
ids. Such a pair has two ids, so that ids alone would not do.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mover_ray.datasets.manifest import BuiltManifest
from mover_ray.datasets.passed_over import PassedOver
from mover_ray.errors import ConfigError, LocationError, StorageError
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.settled import settled_by

Facts = Mapping[str, Any]


def leave_out_answered(
    built: BuiltManifest,
    since: Sequence[str],
    destination: Destination,
    *,
    command: str,
    retried: Collection[str],
) -> BuiltManifest:
    """Gives the manifest without the videos that earlier runs have answered.

    Args:
        built: The manifest of the source as it is now.
        since: Destinations of finished runs. What these left out in turn, because of runs
            before them, is left out, too.
        destination: Of this run.
        command: That this run belongs to; the earlier ones must belong to it, too.
        retried: A video whose row has one of these statuses is not answered.

    Raises:
        LocationError: There is no finished run.
        ConfigError: It is this run's own destination, or of another command.
    """
    waiting, seen = list(since), {destination.base}
    if destination.base in waiting:
        raise ConfigError(
            f"--since names the destination itself: `{destination.base}`",
            hint="leave it out: a run goes on from its own destination without it",
        )
    while waiting:
        base = waiting.pop(0)
        if base in seen:
            continue
        seen.add(base)
        earlier = Destination(base, destination.folder)
        success = _success(earlier, command)
        waiting += success.get("since", ())
        built = _without(built, _answered(earlier, success, retried), base)
    return built


def _success(earlier: Destination, command: str) -> dict[str, Any]:
    try:
        success = earlier.success()
    except StorageError as error:
        raise LocationError(f"since: {error}", hint=error.hint) from error
    if success is None:
        raise LocationError(
            f"since: no finished run at: `{earlier.base}`",
            hint="name the --out of a run that has ended, or run that one to its end first",
        )
    if success["identity"]["command"] != command:
        raise ConfigError(
            f"since: a run of `{success['identity']['command']}`: `{earlier.base}`",
            hint=f"name one of `{command}`",
        )
    return success


def _answered(earlier: Destination, success: Facts, retried: Collection[str]) -> pa.Table:
    """Gives the earlier run's manifest as far as its videos have a final row."""
    manifest = earlier.read_manifest()
    if manifest is None:
        raise LocationError(f"since: the run has no manifest: `{earlier.base}`")
    ids = manifest["video_id"].to_numpy()
    final = settled_by(earlier, success, ids).final_ids(retried)
    return manifest.filter(pa.array(np.isin(ids, final)))


def _without(built: BuiltManifest, answered: pa.Table, base: str) -> BuiltManifest:
    same = _same_versions(built.table, answered)
    reason = f"unchanged since {base}"
    uris = built.table["uri"].filter(pa.array(same)).to_pylist()
    return replace(
        built,
        table=built.table.filter(pa.array(~same)),
        passed_over=built.passed_over.joined(PassedOver((uri, reason) for uri in uris)),
    )


def _same_versions(table: pa.Table, answered: pa.Table) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Says of each row whether the same version of the same object is among `answered`."""
    same = np.isin(table["video_id"].to_numpy(), answered["video_id"].to_numpy())
    known_uri = pc.is_in(table["uri"], value_set=answered["uri"]).to_numpy()
    unclear = np.flatnonzero(~same & known_uri)
    rows = table.take(pa.array(unclear))
    candidates = answered.filter(pc.is_in(answered["uri"], value_set=rows["uri"]))
    by_uri: dict[str, list[Facts]] = {}
    for row in candidates.to_pylist():
        by_uri.setdefault(row["uri"], []).append(row)
    for position, row in zip(unclear, rows.to_pylist(), strict=True):
        same[position] = any(_is_same_version(row, other) for other in by_uri[row["uri"]])
    return same


def _is_same_version(one: Facts, other: Facts) -> bool:
    """Compares by the strongest pin that both have; without one they are not the same."""
    for pin in ("version_id", "etag"):
        if one[pin] and other[pin]:
            return bool(one[pin] == other[pin])
    pins = ("size_bytes", "mtime_ns")
    return all(one[pin] is not None and one[pin] == other[pin] for pin in pins)
