"""Merges the small files of a finished run into few large ones.

The merged files are parts of an attempt of their own. Their rows replace those that they were
made from as a retry's rows would, so that a compaction that dies half-way leaves a run that
is as complete as before, and the proof at the end is that of every run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from mover_ray.config import check_at_least
from mover_ray.errors import LocationError
from mover_ray.operations.runs import open_run
from mover_ray.pipelines import attempt as attempts
from mover_ray.pipelines import proof
from mover_ray.pipelines.destination import Destination, Part
from mover_ray.pipelines.lease import LeaseConfig, hold
from mover_ray.pipelines.parts import read_table, write_part
from mover_ray.pipelines.progress import Progress
from mover_ray.provenance import utc_now

_KIND = "c"
#: What `proof.finish` finds out anew.
_PROVED_ANEW = ("attempt", "total", "counts", "files")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactOptions:
    """What `runs compact` was asked to do."""

    dest: str
    """Destination of a finished run."""
    target_mib: float = 128.0
    """Files are merged until they have so many MiB; those of half as many stay as they are."""
    lease: LeaseConfig = field(default_factory=LeaseConfig)
    """How long to wait for a destination that is held."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "target_mib", 0.001)


@dataclass(frozen=True, slots=True)
class Compaction:
    """What became of the files of a run."""

    dest: str
    files_before: int
    files_after: int
    rows: int


def compact_run(options: CompactOptions, progress: Progress) -> Compaction:
    """Merges the files of a finished run and proves it again.

    Raises:
        LocationError: There is no run, or it is not finished.
        HeldError: A live run holds the destination.
    """
    destination = open_run(options.dest)
    with hold(destination, options.lease, progress) as lease:
        state = _finished_state(destination)
        groups = list(merge_groups(state.accepted, round(options.target_mib * 2**20)))
        rows = state.manifest.num_rows
        if not groups:
            return Compaction(destination.base, len(state.accepted), len(state.accepted), rows)
        record = destination.success() or {}
        identity = record["identity"]
        number = attempts.begin(destination, lease, state, identity)
        for task, group in enumerate(groups):
            lease.assert_held()
            tables = [read_table(destination, part.name) for part in group]
            write_part(destination, number, task, pa.concat_tables(tables), kind=_KIND)
        kept = {name: value for name, value in record.items() if name not in _PROVED_ANEW}
        kept["compacted_at"] = utc_now()
        document = proof.finish(destination, lease, number, state.accepted, state.manifest, kept)
        return Compaction(
            destination.base, len(state.accepted), len(document["files"]), document["total"]
        )


def merge_groups(parts: Sequence[Part], target_bytes: int) -> Iterator[list[Part]]:
    """Gives runs of small parts, each of which is to become one part.

    Args:
        parts: In any order; neighbours by name are merged.
        target_bytes: A group ends with the part by which it reaches this.
    """
    group: list[Part] = []
    for part in sorted(parts):
        if 2 * part.size_bytes >= target_bytes:
            continue
        group.append(part)
        if sum(one.size_bytes for one in group) >= target_bytes:
            yield group
            group = []
    if len(group) > 1:
        yield group


def _finished_state(destination: Destination) -> attempts.State:
    last, manifest = destination.last_attempt(), destination.read_manifest()
    if last is not None and manifest is not None:
        state = attempts.inspect(destination, manifest, last["identity"], fresh=False)
        if state.finished:
            return state
    raise LocationError(
        f"the run is not finished: `{destination.base}`",
        hint="the command that made it, given again, finishes it",
    )
