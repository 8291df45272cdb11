"""A job whose stages cost nothing, so that the commit protocol is all that is tried."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from mover_ray.datasets.manifest import BuiltManifest
from mover_ray.datasets.rows import compute_ids
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.job import Job, PipelineConfig, StageSpec
from mover_ray.pipelines.lease import LeaseConfig
from mover_ray.pipelines.parts import read_table
from mover_ray.pipelines.run import RunOptions
from mover_ray.schemas import FACES, MANIFEST
from mover_ray.stages.base import Row, manifest_columns

SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.int64(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
    ]
)


class Prepare:
    """Gives every row the status that the job was told."""

    def __init__(self, statuses: dict[int, str]) -> None:
        self._statuses = statuses

    def __call__(self, row: Row) -> Row:
        status = self._statuses.get(number_of(row), "ok")
        if status == "raise":
            raise RuntimeError("a bug in a stage")
        return {
            **manifest_columns(row), "status": status, "attempts": 1, "flags": [], "crops": [],
        }  # fmt: skip

    def close(self) -> None:
        """Nothing is held."""


class Pass(Prepare):
    """Gives the row on as it is."""

    def __init__(self) -> None:
        super().__init__({})

    def __call__(self, row: Row) -> Row:
        return row


def toy_job(statuses: dict[int, str] | None = None, model: str = "one") -> Job:
    """Gives a job over made-up videos."""
    return Job(
        folder="results",
        prepare=StageSpec(name="prepare", build=partial(Prepare, statuses or {}), schema=FACES),
        finish=StageSpec(name="finish", build=Pass, schema=SCHEMA),
        identity={"command": "toy", "model": model},
        settings={},
    )


def manifest(count: int, first: int = 0) -> BuiltManifest:
    """Gives a manifest of videos `first` to `first + count - 1`."""
    rows = [
        {"video_id": 0, "uri": f"/archive/{number}.mp4", "size_bytes": 1, "mtime_ns": 1}
        for number in range(first, first + count)
    ]
    table = pa.Table.from_pylist(rows, schema=MANIFEST)
    return BuiltManifest(table.set_column(0, MANIFEST.field("video_id"), compute_ids(table)))


def number_of(row: Row) -> int:
    """Gives the number that a made-up video has in its name."""
    return int(row["uri"].removesuffix(".mp4").rpartition("/")[2])


def options(dest: str | Path, **changes: object) -> RunOptions:
    """Gives options for the local engine with small blocks and an impatient lease."""
    lease = LeaseConfig(wait_s=0.5, expiry_s=1.0, renew_s=0.2)
    pipeline = PipelineConfig(videos_per_block=3, workers=2, lease=lease)
    values = {"dest": str(dest), "engine": "local", "pipeline": pipeline, **changes}
    return RunOptions(**values)  # type: ignore[arg-type]


def rows_at(dest: str | Path) -> dict[int, Row]:
    """Gives the rows that readers see, by number; fails on a video with two."""
    destination = Destination(str(dest), "results")
    names = destination.counting_parts()
    tables = [read_table(destination, name) for name in names]
    rows = pa.concat_tables(tables).to_pylist() if tables else []
    ids = np.array([row["video_id"] for row in rows])
    assert len(np.unique(ids)) == len(ids), "a video has two rows"
    return {number_of(row): row for row in rows}
