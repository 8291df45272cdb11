"""Removes what dead writers and earlier attempts have left at a destination."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from mover_ray.config import check_at_least
from mover_ray.operations.runs import open_run
from mover_ray.pipelines.destination import ATTEMPTS_FOLDER, ORPHANS_FOLDER, Destination
from mover_ray.pipelines.lease import LeaseConfig, hold
from mover_ray.pipelines.progress import Progress
from mover_ray.storage import ObjectInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class VacuumOptions:
    """What `runs vacuum` was asked to do."""

    dest: str
    """Destination of a run, finished or not."""
    older_than_h: float = 24.0
    """Younger files stay: a reader may have them open, a person may miss them."""
    dry_run: bool = False
    """Only say what would be removed."""
    lease: LeaseConfig = field(default_factory=LeaseConfig)
    """How long to wait for a destination that is held."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "older_than_h", 0.0)


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What was removed, or would be."""

    dest: str
    files: tuple[str, ...]
    size_bytes: int
    kept: int
    """Files that are not needed either, but too young."""
    dry_run: bool


def vacuum_run(options: VacuumOptions, progress: Progress) -> Vacuumed:
    """Removes orphans, parts that do not count, and work lists of earlier attempts.

    Raises:
        LocationError: There is no run.
        HeldError: A live run holds the destination.
    """
    destination = open_run(options.dest)
    with hold(destination, options.lease, progress) as lease:
        found = list(_needless(destination))
        latest_ns = time.time_ns() - round(options.older_than_h * 3600e9)
        old = [info for info in found if (info.mtime_ns or 0) <= latest_ns]
        if not options.dry_run:
            destination.sweep()
            for info in old:
                lease.assert_held()
                destination.storage.delete(info.uri)
    return Vacuumed(
        destination.base,
        tuple(info.uri for info in old),
        sum(info.size_bytes for info in old),
        len(found) - len(old),
        options.dry_run,
    )


def _needless(destination: Destination) -> Iterator[ObjectInfo]:
    """Gives what nobody counts and no later start will look at."""
    yield from destination.storage.list(destination.uri(ORPHANS_FOLDER))
    counting = set(destination.counting_parts())
    for name in destination.part_names():
        if name not in counting:
            yield destination.storage.stat(destination.part_uri(name))
    # Under the lease no engine runs, and the next start writes a list of its own.
    for info in destination.storage.list(destination.uri(ATTEMPTS_FOLDER)):
        if info.uri.endswith(".parquet"):
            yield info
