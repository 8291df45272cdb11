"""`_progress.json`: how far a run is, for whoever did not start it."""

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from mover_ray.errors import MoverRayError
from mover_ray.pipelines.destination import PROGRESS_NAME, Destination
from mover_ray.pipelines.lease import fencing_attempt
from mover_ray.pipelines.progress import Progress
from mover_ray.provenance import utc_now

_logger = logging.getLogger(__name__)

#: An object store should not see a write for every committed part.
_WRITE_EVERY_S = 10.0

#: The rate is that of the last minutes: the first ones go by while workers start.
_RATE_OVER_S = 600.0


@dataclass(frozen=True, slots=True)
class Volume:
    """Bytes of a manifest's videos, as far as their sizes are known."""

    total: int = 0
    resumed: int = 0
    """Of videos that an earlier start finished."""


class TrackedProgress:
    """Passes everything on to another `Progress` and keeps the document up to date."""

    def __init__(
        self, inner: Progress, destination: Destination, attempt: int, volume: Volume
    ) -> None:
        """Starts with nothing done; the document is written from `start` on."""
        self._inner = inner
        self._destination = destination
        self._attempt = attempt
        self._volume = volume
        self._done_bytes = volume.resumed
        self._total = 0
        self._resumed = 0
        self._counts: Counter[str] = Counter()
        self._written = 0.0
        self._marks = deque([(time.monotonic(), 0)])

    def start(self, total: int, done: int) -> None:
        """Begins with `total` videos, `done` of which an earlier start finished."""
        self._total, self._resumed = total, done
        self._inner.start(total, done)
        self._write()

    def advance(self, counts: Mapping[str, int], size_bytes: int = 0) -> None:
        """Adds newly committed videos, counted by status, and their size."""
        self._counts.update(counts)
        self._done_bytes += size_bytes
        self._inner.advance(counts)
        if time.monotonic() - self._written > _WRITE_EVERY_S:
            self._write()

    def message(self, text: str) -> None:
        """Passes one line on."""
        self._inner.message(text)

    def finish(self) -> None:
        """Writes the last state and ends the display."""
        self._write()
        self._inner.finish()

    def _write(self) -> None:
        self._written = time.monotonic()
        fresh = self._counts.total()
        rate = self._rate(fresh)
        left = self._total - self._resumed - fresh
        document = {
            "attempt": self._attempt,
            "total": self._total,
            "resumed": self._resumed,
            "done": self._resumed + fresh,
            "total_bytes": self._volume.total,
            "done_bytes": self._done_bytes,
            "counts": dict(sorted(self._counts.items())),
            "videos_per_s": round(rate, 4),
            "eta_s": round(left / rate, 1) if rate else None,
            "updated_at": utc_now(),
        }
        try:
            if fencing_attempt(self._destination) <= self._attempt:
                self._destination.write_document(document, PROGRESS_NAME)
        except MoverRayError as error:  # the rows do not depend on it
            _logger.warning("progress cannot be written: %s", error)

    def _rate(self, fresh: int) -> float:
        """Gives the videos a second of late, and remembers how many there are now."""
        self._marks.append((self._written, fresh))
        while len(self._marks) > 2 and self._marks[1][0] < self._written - _RATE_OVER_S:
            self._marks.popleft()
        since, before = self._marks[0]
        return (fresh - before) / max(self._written - since, 1e-3)
