"""The start of a run: which parts count, which are set aside, what is left to do."""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mover_ray.datasets import manifest as manifests
from mover_ray.errors import HeldError
from mover_ray.pipelines.destination import Destination, Part
from mover_ray.pipelines.lease import Lease
from mover_ray.pipelines.parts import describe_all
from mover_ray.pipelines.settled import Settled, settled_by
from mover_ray.provenance import utc_now


@dataclass(frozen=True, slots=True)
class State:
    """What an earlier start left at the destination."""

    manifest: pa.Table
    """The videos that the destination will have rows for: old and new ones."""
    run_id: str
    accepted: list[Part]
    """Parts that count."""
    stray: list[str]
    """Names of parts that do not count: late ones of older attempts."""
    settled: Settled
    """The rows that count."""
    finished: bool
    """`_SUCCESS.json` is there and speaks of just these videos."""


def inspect(
    destination: Destination, wanted: pa.Table, identity: Mapping[str, Any], *, fresh: bool
) -> State:
    """Reads what is at the destination; writes nothing.

    Args:
        destination: Held by the caller, or only looked at.
        wanted: The manifest of the source as it is now.
        identity: What the rows depend on: kind, model, settings.
        fresh: Count nothing of what is there.

    Raises:
        HeldError: The rows there were made by another model or with other settings.
    """
    last = None if fresh else destination.last_attempt()
    if last is None:
        names = destination.part_names()
        nothing = Settled(destination, ())
        return State(wanted, secrets.token_hex(8), [], names, nothing, finished=False)
    _check_identity(destination, last["identity"], identity)
    success = destination.success()
    accepted = _accepted(destination, last, success)
    counting = {part.name for part in accepted}
    stray = [name for name in destination.part_names() if name not in counting]
    old = destination.read_manifest()
    manifest = wanted if old is None else manifests.merge(old, wanted)
    ended = success is not None and success["attempt"] == last["attempt"]
    return State(
        manifest=manifest,
        run_id=last["run_id"],
        accepted=accepted,
        stray=stray,
        settled=settled_by(destination, success, old["video_id"].to_numpy())
        if success is not None and ended and old is not None
        else Settled(destination, [part.name for part in accepted]),
        finished=success is not None and ended and success["total"] == manifest.num_rows,
    )


def check(destination: Destination, identity: Mapping[str, Any]) -> None:
    """Refuses a destination of another model before anything is written or waited for.

    Raises:
        HeldError: The rows there were made by another model or with other settings.
        LocationError: The run there is damaged.
    """
    last = destination.last_attempt()
    if last is not None:
        _check_identity(destination, last["identity"], identity)


def work_list(state: State, retried: Collection[str]) -> pa.Table:
    """Gives the manifest rows that have no row yet or one with a status to try again."""
    ids = state.manifest["video_id"].to_numpy()
    open_rows = ~np.isin(ids, state.settled.final_ids(retried))
    return state.manifest.filter(pa.array(open_rows))


def begin(destination: Destination, lease: Lease, state: State, identity: Mapping[str, Any]) -> int:
    """Starts a new attempt under the lease; gives its number.

    From here on the list of accepted parts is frozen: an older writer's part
    that appears later never counts.
    """
    attempt = max(lease.last_attempt, destination.last_attempt_number()) + 1
    lease.begin(attempt)
    destination.sweep()
    destination.write_manifest(state.manifest)
    destination.write_attempt(
        {
            "attempt": attempt,
            "run_id": state.run_id,
            "identity": dict(identity),
            "started_at": utc_now(),
            "accepted": [part.as_json() for part in state.accepted],
        }
    )
    if not state.accepted:
        destination.forget_success()
    destination.set_aside(state.stray)
    return attempt


def _accepted(
    destination: Destination, last: Mapping[str, Any], success: Mapping[str, Any] | None
) -> list[Part]:
    """Gives the parts that count after attempt `last`, whether it finished or died."""
    if success is not None and success["attempt"] == last["attempt"]:
        return [Part(**entry) for entry in success["files"]]
    own = describe_all(destination, destination.parts_of(last["attempt"]))
    return [Part(**entry) for entry in last["accepted"]] + own


def _check_identity(
    destination: Destination, there: Mapping[str, Any], here: Mapping[str, Any]
) -> None:
    differing = sorted(key for key in here if there.get(key) != here[key])
    if not differing:
        return
    key = differing[0]
    raise HeldError(
        f"destination belongs to another {key}: `{destination.base}` "
        f"(there: {there.get(key)}, here: {here[key]})",
        hint="write to another --out, or give --fresh to set its rows aside and start over",
    )
