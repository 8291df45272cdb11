"""What a run is made of, apart from where it runs: stages, schema, settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from mover_ray.config import check_at_least
from mover_ray.pipelines.lease import LeaseConfig
from mover_ray.stages.base import Row, Stage

_BLOCK_ROWS = 16
_MOST_BLOCK_ROWS = 128
#: Part files that a run should not exceed while its blocks may still grow.
_FILES = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineConfig:
    """How the work is cut and spread. Changes no row, only how soon it comes."""

    videos_per_block: int | None = None
    """Videos of one part file, the unit of loss; None cuts small manifests finer."""
    workers: int | None = None
    """Videos decoded at the same time on one node; None takes one for each CPU."""
    max_block_s: float = 300.0
    """The local engine commits a part after so many seconds, full or not."""
    local_max_videos: int = 64
    """`--engine auto` starts Ray for more videos than this."""
    max_nodes: int | None = None
    """Nodes that the pools may grow to; None stays on the present ones."""
    quarantine_after: int = 4
    """A video over which so many of Ray's workers have died gets the status `quarantined`."""
    lease: LeaseConfig = field(default_factory=LeaseConfig)
    """The right to write to a destination."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        for name in ("videos_per_block", "workers", "max_nodes"):
            if getattr(self, name) is not None:
                check_at_least(self, name, 1)
        check_at_least(self, "quarantine_after", 1)
        check_at_least(self, "local_max_videos", 0)
        check_at_least(self, "max_block_s", 0.0)

    def block_rows(self, videos: int, workers: int) -> int:
        """Gives the videos of one block: enough blocks to keep every worker busy.

        A manifest of a million rows fits one of Ray's blocks of 128 MiB, so
        blocks are cut by rows. 16 videos are well under five minutes of work;
        long lists get up to 128, because each block is a file that later starts
        and every reader open.
        """
        if self.videos_per_block is not None:
            return self.videos_per_block
        few_files = max(_BLOCK_ROWS, min(_MOST_BLOCK_ROWS, videos // _FILES))
        return max(1, min(few_files, videos // (4 * workers)))


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSpec:
    """A stage, how to build it where it runs, and what it gives."""

    name: str
    build: Callable[[], Stage]
    """Called once a worker; picklable."""
    schema: pa.Schema
    """Of the rows that it gives."""
    stamp: Row = field(default_factory=dict)
    """Columns that are the same in every row."""

    def to_table(self, rows: list[Row]) -> pa.Table:
        """Gives rows of plain values as a table of just the columns of the schema."""
        return pa.Table.from_pylist([{**row, **self.stamp} for row in rows], schema=self.schema)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A run without its source, destination and engine."""

    folder: str
    """Where its parts lie under the destination."""
    prepare: StageSpec
    """The first stage: decoding and faces, on every CPU."""
    finish: StageSpec
    """The second stage: what is committed."""
    identity: Mapping[str, str]
    """What the rows depend on; a destination holds rows of one identity only."""
    settings: Mapping[str, Any]
    """Every setting as it was resolved, for the record."""
    check: Callable[[], object] | None = None
    """Raises what would fail on every worker; called before anything is written."""
    model: Mapping[str, Any] | None = None
    """Id, hash and provenance of the model, for the record."""

    def for_run(self, run_id: str) -> "Job":
        """Gives the job with the id of its run in every row."""
        prepare, finish = (
            replace(spec, stamp={**spec.stamp, "run_id": run_id})
            for spec in (self.prepare, self.finish)
        )
        return replace(self, prepare=prepare, finish=finish)
