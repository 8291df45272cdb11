"""May a run write to its destination? Tried with an object of a few bytes."""

import time
import uuid

from mover_ray.errors import PreconditionFailed, StorageError
from mover_ray.operations.doctor_check import FAIL, OK, WARN, Check
from mover_ray.status import Status
from mover_ray.storage import storage_for
from mover_ray.storage.base import Storage

#: Below the destination; roles that may not delete results may delete this.
TRIAL_FOLDER = "_doctor"

#: S3 refuses requests that are a quarter of an hour off; leases expire after 30 s.
_MOST_SKEW_S = 30.0
#: S3 gives times in whole seconds, and the request takes its time.
_SKEW_NOISE_S = 3.0

_RIGHTS = "to list, read and write there, and to delete below `_doctor/`"


def check_store(uri: str) -> Check:
    """Lists, writes, writes on condition, reads and deletes at an object store.

    Args:
        uri: The destination of a run, on a store that is not the disk.
    """
    storage = storage_for(uri)
    trial = f"{uri.rstrip('/')}/{TRIAL_FOLDER}/{uuid.uuid4().hex}"
    step = "list"
    try:
        next(iter(storage.list(uri)), None)
        step = "write"
        storage.write(trial, b"first", if_absent=True)
        try:
            step = "write on condition"
            fault = _fault_of_conditions(storage, trial)
            step = "read"
            skew_s = 0.0 if fault else _skew(storage, trial)
        finally:
            storage.delete(trial)
        step = "delete"
        fault = fault or _fault_of_deletion(storage, trial)
    except StorageError as error:
        return Check("destination", FAIL, f"{uri}: cannot {step}: {error}", _hint(error))
    if fault:
        return Check("destination", FAIL, f"{uri}: {fault}", "results could be lost: use another")
    return _judge(uri, skew_s)


def _fault_of_conditions(storage: Storage, trial: str) -> str | None:
    """Says what is wrong with conditional writes, on which leases and results stand."""
    try:
        storage.write(trial, b"second", if_absent=True)
    except PreconditionFailed:
        pass
    else:
        return "the store overwrites although `If-None-Match` forbids it"
    try:
        storage.write(trial, b"third", if_match="0" * 32)
    except PreconditionFailed:
        return None
    return "the store overwrites although `If-Match` forbids it"


def _skew(storage: Storage, trial: str) -> float:
    """Gives the seconds by which this clock is ahead of the store's."""
    if storage.read(trial) != b"first":
        raise StorageError(Status.CHANGED, f"reads are not what was written: `{trial}`")
    written_ns = storage.stat(trial).mtime_ns
    return 0.0 if written_ns is None else time.time() - written_ns / 1e9


def _fault_of_deletion(storage: Storage, trial: str) -> str | None:
    try:
        storage.stat(trial)
    except StorageError as error:
        if error.status is Status.NOT_FOUND:
            return None
        raise
    return "an object that was deleted is still there"


def _judge(uri: str, skew_s: float) -> Check:
    found = f"{uri} can be listed, written, written on condition, read and deleted from"
    if abs(skew_s) <= _SKEW_NOISE_S:
        return Check("destination", OK, found)
    ahead = "ahead of" if skew_s > 0 else "behind"
    text = f"{found}; this clock is {abs(skew_s):.0f} s {ahead} the store's"
    level = FAIL if abs(skew_s) > _MOST_SKEW_S else WARN
    return Check("destination", level, text, "run a time service such as chrony")


def _hint(error: StorageError) -> str | None:
    if error.status is Status.ACCESS_DENIED:
        return f"the role needs the rights {_RIGHTS}"
    return error.hint
