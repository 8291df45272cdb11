"""Who asked for what, and how it ended: a line of JSON for every request."""

import contextvars
import json
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from mover_ray.errors import LocationError
from mover_ray.serving.identity import Identity


@dataclass(slots=True)
class RequestRecord:
    """What is written about one request; filled in while it is answered."""

    request_id: str
    method: str
    path: str
    client: str | None
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    tenant: str | None = None
    credential: str | None = None
    route: str = "unmatched"
    """The path as it is declared, without anybody's ids."""
    status: int | None = None
    body_bytes: int = 0
    milliseconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    """What the request was about: uri, SHA-256, job, scan."""

    def identify(self, identity: Identity) -> None:
        """Notes who asks."""
        self.tenant, self.credential = identity.tenant, identity.credential


_current: contextvars.ContextVar[RequestRecord] = contextvars.ContextVar("request_record")


def set_current(record: RequestRecord) -> None:
    """Makes `record` that of the request under way in this context."""
    _current.set(record)


def note(**facts: Any) -> None:
    """Adds facts to the record of the request under way."""
    _current.get().facts.update(facts)


class AuditLog:
    """Appends records to a file or to stderr."""

    def __init__(self, path: str = "") -> None:
        """Opens the file for appending; it is made for its owner alone.

        Raises:
            LocationError: It cannot be written.
        """
        self._file: TextIO | None = None
        if path:
            try:
                Path(path).touch(mode=0o600)
                self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 # see close
            except OSError as error:
                text = f"the audit log cannot be written: `{path}`: {error.strerror}"
                raise LocationError(text) from error

    def write(self, record: RequestRecord) -> None:
        """Writes one record; JSON keeps whatever a client sent within its line."""
        stream = self._file or sys.stderr
        stream.write(json.dumps(asdict(record)) + "\n")
        stream.flush()

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
