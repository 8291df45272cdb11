"""The end of a run: proof that every video has one row, and only then `_SUCCESS.json`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from mover_ray.errors import HeldError, MoverRayError, PreconditionFailed
from mover_ray.pipelines.destination import Destination, Part, attempt_of
from mover_ray.pipelines.lease import Lease
from mover_ray.pipelines.parts import (
    PartIndex,
    describe_all,
    read_indexes,
    read_table,
    write_part,
)


class IncompleteError(MoverRayError):
    """The rows at a destination are not one for each video of its manifest."""


@dataclass(slots=True)
class Account:
    """The rows of a set of parts, held against a manifest."""

    missing: np.ndarray
    """Ids of the manifest without a row."""
    unknown: np.ndarray
    """Ids of rows that the manifest does not have."""
    repeated: np.ndarray
    """Ids with two rows of one attempt: never right."""
    superseded: dict[str, np.ndarray]
    """By part: ids whose row a later attempt's row replaces."""
    counts: Counter[str] = field(default_factory=Counter)
    """Rows by status, replaced ones left out."""

    @property
    def complete(self) -> bool:
        """Whether each video has just one row, replaced ones left out."""
        return not (self.missing.size or self.unknown.size or self.repeated.size)


def take_account(manifest_ids: np.ndarray, indexes: Sequence[PartIndex]) -> Account:
    """Holds rows against the manifest.

    Args:
        manifest_ids: Unique ids, int64.
        indexes: The parts' ids and statuses, in any order.
    """
    indexes = [index for index in indexes if len(index.video_ids)]
    if not indexes:
        empty = np.zeros(0, np.int64)
        return Account(np.sort(manifest_ids), empty, empty, {})
    ids = np.concatenate([index.video_ids for index in indexes])
    parts = np.concatenate([np.full(len(x.video_ids), i) for i, x in enumerate(indexes)])
    attempts = np.array([attempt_of(index.name) for index in indexes])[parts]
    order = np.lexsort((attempts, ids))
    ids, parts, attempts = ids[order], parts[order], attempts[order]
    same_as_next = np.append(ids[1:] == ids[:-1], [False])
    repeated = same_as_next & np.append(attempts[1:] == attempts[:-1], [False])
    statuses = np.concatenate([index.statuses for index in indexes])[order]
    return Account(
        missing=np.setdiff1d(manifest_ids, ids),
        unknown=np.setdiff1d(ids, manifest_ids),
        repeated=np.unique(ids[repeated]),
        superseded={
            indexes[part].name: ids[same_as_next & (parts == part)]
            for part in np.unique(parts[same_as_next])
        },
        counts=Counter(statuses[~same_as_next].tolist()),
    )


def finish(
    destination: Destination,
    lease: Lease,
    attempt: int,
    accepted: Sequence[Part],
    manifest: pa.Table,
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """Proves the run complete and writes `_SUCCESS.json`; gives that document.

    Args:
        destination: Held by `lease`.
        lease: Asked once more before the last write.
        attempt: The attempt that ends here.
        accepted: The parts of earlier attempts that it started from.
        manifest: Every video that must have a row.
        record: What else the document says: code, settings, model, timings.

    Raises:
        IncompleteError: A video has no row, or two.
        HeldError: Another run has taken over.
    """
    over = destination.success_version()
    own = destination.parts_of(attempt)
    known = {part.name: part for part in accepted}
    indexes = list(read_indexes(destination, [*known, *own]))
    account = take_account(manifest["video_id"].to_numpy(), indexes)
    _require_complete(destination, account)
    parts = [known[name] for name in known if name not in account.superseded]
    parts += describe_all(destination, own)
    parts += _keep_remainders(destination, attempt, account.superseded, known)
    lease.assert_held()
    document = {
        **record,
        "attempt": attempt,
        "total": manifest.num_rows,
        "counts": dict(sorted(account.counts.items())),
        "files": [part.as_json() for part in sorted(parts)],
    }
    _write_success(destination, document, over)
    counting = {part.name for part in parts}
    late = [name for name in destination.part_names() if attempt_of(name) <= attempt]
    destination.set_aside(name for name in late if name not in counting)
    return document


def _write_success(destination: Destination, document: Mapping[str, Any], over: str | None) -> None:
    try:
        destination.write_success(document, over)
    except PreconditionFailed as error:
        raise HeldError(
            f"another run has finished the destination: `{destination.base}`",
            hint="this one was silent for too long; its own end is not recorded",
        ) from error


def _keep_remainders(
    destination: Destination,
    attempt: int,
    superseded: Mapping[str, np.ndarray],
    known: Mapping[str, Part],
) -> list[Part]:
    """Writes the rows of replaced parts that still count as parts of this attempt."""
    kept = []
    for task, (name, replaced) in enumerate(sorted(superseded.items())):
        if name in known and known[name].rows == replaced.size:
            continue
        table = read_table(destination, name)
        rows = table.filter(pa.array(~np.isin(table["video_id"].to_numpy(), replaced)))
        if rows.num_rows:
            kept.append(write_part(destination, attempt, task, rows, kind="k").part)
    return kept


def _require_complete(destination: Destination, account: Account) -> None:
    if account.complete:
        return
    raise IncompleteError(
        f"rows and manifest do not agree: `{destination.base}`: "
        f"{account.missing.size} videos without a row, {account.repeated.size} with two, "
        f"{account.unknown.size} unknown",
        hint="run the same command again; if it stays so, please report it",
    )
