"""One writer at a time: the lease on a destination and the attempt it fences.

The lease's document names the newest attempt. A writer of an older attempt that
wakes up late sees a higher number there and writes nothing more; what it had
already under way lands under its own attempt's name, which nobody accepts.

On disk the holder keeps an `flock`, which the kernel frees when the process
ends in whatever way. On an object store the holder renews a document with
If-Match; a document that nobody renews for `expiry_s` is free. Age is measured
by the waiter's own monotonic clock, so clocks need not agree.
"""

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mover_ray.config import check_at_least
from mover_ray.errors import HeldError, LocationError, PreconditionFailed, StorageError
from mover_ray.pipelines.destination import LEASE_NAME, Destination
from mover_ray.pipelines.progress import Progress
from mover_ray.provenance import dump_json
from mover_ray.status import Status
from mover_ray.storage import uri_to_path

if sys.platform != "win32":
    import fcntl


#: A lease document is a few lines.
_MOST_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseConfig:
    """How long a start waits for a destination that is held."""

    wait_s: float = 45.0
    """A second start waits this long before it gives up. Longer than `expiry_s`."""
    expiry_s: float = 30.0
    """On an object store, a holder that is silent for so long has lost the lease."""
    renew_s: float = 10.0
    """On an object store, the holder renews the lease this often."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "wait_s", 0.0)
        check_at_least(self, "renew_s", 0.01)
        check_at_least(self, "expiry_s", 2 * self.renew_s)


class Lease(Protocol):
    """The right to write to a destination."""

    last_attempt: int
    """Number of the newest attempt that ever held the lease; 0 before the first."""

    def begin(self, attempt: int) -> None:
        """Publishes the attempt that the holder writes under."""

    def assert_held(self) -> None:
        """Raises `HeldError` if another writer has taken over."""


@contextlib.contextmanager
def hold(destination: Destination, config: LeaseConfig, progress: Progress) -> Iterator[Lease]:
    """Holds the destination for the length of a `with` block.

    Raises:
        HeldError: Another live run holds it and did not end within `config.wait_s`.
        LocationError: The destination cannot be written.
    """
    holder = FileLease if destination.storage.is_local else ObjectLease
    lease = holder(destination, config)
    try:
        _acquire(lease, destination, config, progress)
        yield lease
    finally:
        lease.release()


def fencing_attempt(destination: Destination) -> int:
    """Gives the attempt that may write now; a writer of an older one must not."""
    document = destination.read_document(LEASE_NAME)
    return int(document["attempt"]) if document else 0


def _acquire(
    lease: "FileLease | ObjectLease",
    destination: Destination,
    config: LeaseConfig,
    progress: Progress,
) -> None:
    deadline = time.monotonic() + config.wait_s
    announced = False
    while not lease.try_acquire():
        if time.monotonic() >= deadline:
            raise HeldError(
                f"destination is held by a live run: `{destination.base}` ({lease.holder})",
                hint="wait for it to end, or write to another --out",
            )
        if not announced:
            progress.message(
                f"{destination.base} is held by another run ({lease.holder}); "
                f"waiting up to {config.wait_s:.0f} s for it to end"
            )
            announced = True
        time.sleep(min(0.5, config.wait_s / 10))


class FileLease:
    """A lease on a folder: an `flock` on `_lease.json`."""

    def __init__(self, destination: Destination, config: LeaseConfig) -> None:
        """Names the lock file; nothing is written yet."""
        del config  # the kernel frees the lock: nothing expires
        self._path = uri_to_path(destination.uri(LEASE_NAME))
        self._descriptor: int | None = None
        self.last_attempt = 0
        self.holder = "unknown"

    def try_acquire(self) -> bool:
        """Takes the lock if it is free; gives whether it was."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LocationError(
                f"destination cannot be written: `{self._path.parent}`: {error.strerror}",
                hint="give a folder that can be made or written to",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.holder = _describe(_parse(os.pread(descriptor, _MOST_BYTES, 0)))
            os.close(descriptor)
            return False
        document = _parse(os.pread(descriptor, _MOST_BYTES, 0))
        self._descriptor = descriptor
        self.last_attempt = int(document.get("attempt", 0))
        return True

    def begin(self, attempt: int) -> None:
        """Writes the attempt into the locked file; the file itself must stay the same one."""
        if self._descriptor is None:
            raise RuntimeError("begin() needs the lease")
        content = dump_json({"attempt": attempt, **_identity()}).encode()
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))
        os.fsync(self._descriptor)
        self.last_attempt = attempt

    def assert_held(self) -> None:
        """Does nothing: the kernel takes an `flock` from nobody."""

    def release(self) -> None:
        """Frees the lock; harmless where it was never taken."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class ObjectLease:
    """A lease on an object-store prefix: a document renewed with If-Match."""

    def __init__(self, destination: Destination, config: LeaseConfig) -> None:
        """Names the lease object; nothing is written yet."""
        self._destination = destination
        self._uri = destination.uri(LEASE_NAME)
        self._config = config
        self._token = secrets.token_hex(8)
        self._etag: str | None = None
        self._seen: tuple[str, float] | None = None
        self._lost = False
        self._renewed_at = 0.0
        self._mutex = threading.Lock()
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None
        self.last_attempt = 0
        self.holder = "unknown"

    def try_acquire(self) -> bool:
        """Takes the lease if it is free or expired, and keeps it alive from then on."""
        taken = self._try_take()
        if taken:
            self._renewer = threading.Thread(target=self._keep_alive, name="lease", daemon=True)
            self._renewer.start()
        return taken

    def _try_take(self) -> bool:
        current = self._read()
        if current is None:
            return self._write({"attempt": 0}, if_absent=True)
        document, etag = current
        self.last_attempt = int(document.get("attempt", 0))
        if document.get("released") or self._expired(etag):
            return self._write({"attempt": self.last_attempt}, if_match=etag)
        self.holder = _describe(document)
        return False

    def begin(self, attempt: int) -> None:
        """Publishes the attempt that the holder writes under."""
        self.last_attempt = attempt
        self.assert_held()

    def assert_held(self) -> None:
        """Renews the lease now.

        Raises:
            HeldError: Another writer has taken over, or the store could not be
                reached for longer than the lease lives.
        """
        self._renew()
        if self._lost:
            raise HeldError(
                f"another run has taken over the destination: `{self._destination.base}`",
                hint="this one was silent for too long; what it had committed is kept",
            )

    def release(self) -> None:
        """Stops renewing and marks the lease free; harmless where it was never taken."""
        self._ended.set()
        if self._renewer is not None:
            self._renewer.join()
        if self._etag is not None and not self._lost:
            with contextlib.suppress(StorageError):  # then it expires by itself
                self._write({"attempt": self.last_attempt, "released": True}, if_match=self._etag)
            self._etag = None

    def _keep_alive(self) -> None:
        while not self._ended.wait(self._config.renew_s) and not self._lost:
            self._renew()

    def _renew(self) -> None:
        with self._mutex:
            try:
                held = self._write({"attempt": self.last_attempt}, if_match=self._etag)
            except StorageError:
                silent_s = time.monotonic() - self._renewed_at
                held = silent_s < self._config.expiry_s
            self._lost = self._lost or not held

    def _write(
        self, document: dict[str, Any], *, if_match: str | None = None, if_absent: bool = False
    ) -> bool:
        content = dump_json({**document, **_identity(), "token": self._token}).encode()
        started_at = time.monotonic()
        try:
            self._etag = self._destination.storage.write(
                self._uri, content, if_match=if_match, if_absent=if_absent
            )
        except PreconditionFailed:
            return self._adopt_own()
        self._renewed_at = started_at
        return True

    def _adopt_own(self) -> bool:
        """Recognises a write of ours whose reply was lost; gives whether it was one."""
        current = self._read()
        if current is None or current[0].get("token") != self._token:
            return False
        self._etag = current[1]
        return True

    def _read(self) -> tuple[dict[str, Any], str] | None:
        storage = self._destination.storage
        try:
            info = storage.stat(self._uri)
            document = _parse(storage.read(self._uri, expect=info))
        except StorageError as error:
            if error.status is Status.NOT_FOUND:
                return None
            if error.status is Status.CHANGED:  # renewed between the two requests
                return {"attempt": self.last_attempt}, "changed"
            raise
        return document, info.etag or ""

    def _expired(self, etag: str) -> bool:
        now = time.monotonic()
        if self._seen is None or self._seen[0] != etag:
            self._seen = (etag, now)
        return now - self._seen[1] >= self._config.expiry_s


def _identity() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "nonce": secrets.token_hex(4)}


def _parse(content: bytes) -> dict[str, Any]:
    """Reads a lease document; one that was cut by a crash says nothing."""
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError):
        return {}


def _describe(document: dict[str, Any]) -> str:
    if "pid" not in document:
        return "its holder is starting"
    return f"process {document['pid']} on {document['host']}"
