"""What a run would do: counted from the manifest, estimated from a sample."""

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mover_ray.datasets.manifest import BuiltManifest
from mover_ray.pipelines import attempt as attempts
from mover_ray.pipelines.costs import FACES_PER_GPU_S, PricesConfig
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.job import Job
from mover_ray.pipelines.run import RunOptions
from mover_ray.stages.base import Row
from mover_ray.status import ANSWERED

#: Videos that are tried out: enough to see what share fails, little to wait for.
SAMPLE_VIDEOS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """What a run would do. Everything after `bytes` comes from the sample."""

    videos: int
    """Videos of the source and of the destination's manifest."""
    resumed: int
    """Of these, rows that are at the destination already."""
    bytes: int
    """Size of the videos that are left, as far as it is known."""
    passed_over: dict[str, int]
    """Files of the source that are no videos, counted by the reason."""
    sampled: int
    """Videos that were tried out."""
    statuses: dict[str, int]
    """What became of them before scoring."""
    failing_share: float
    """Share of them that failed."""
    hours_of_video: float
    """Estimated length of what is left."""
    cpu_hours: float
    """Estimated work of decoding and finding faces on CPUs like this one."""
    faces: int
    """Estimated face crops."""
    gpu_hours: float
    """Estimated work of scoring them at the rate that `costs` states; 0 without a model."""
    cost: float | None
    """Price of these hours; None where the settings hold no price."""
    currency: str
    """What the cost is in."""

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        return asdict(self)


def probe(
    job: Job, built: BuiltManifest, options: RunOptions, prices: PricesConfig | None = None
) -> DryRun:
    """Tries out a few of the videos that are left; nothing is written.

    Raises:
        HeldError: The destination belongs to another model.
    """
    destination = Destination(options.dest, job.folder)
    built = options.what_is_new(job, built)
    state = attempts.inspect(destination, built.table, job.identity, fresh=options.fresh)
    work = attempts.work_list(state, options.retry)
    chosen = _spread(work, SAMPLE_VIDEOS)
    started = time.perf_counter()
    rows = _prepare(job, chosen)
    seconds = time.perf_counter() - started
    counts = Counter(row["status"] for row in rows)
    scale = work.num_rows / len(rows) if rows else 0.0
    failed = sum(count for status, count in counts.items() if status not in ANSWERED)
    cpu_hours = scale * seconds / 3600
    faces = round(scale * sum(row["faces"] for row in rows))
    gpu_hours = faces / FACES_PER_GPU_S / 3600 if job.model else 0.0
    prices = prices or PricesConfig()
    return DryRun(
        videos=state.manifest.num_rows,
        resumed=state.manifest.num_rows - work.num_rows,
        bytes=int(pc.sum(work["size_bytes"]).as_py() or 0),
        passed_over=built.passed_over_by_reason(),
        sampled=len(rows),
        statuses=dict(sorted(counts.items())),
        failing_share=failed / len(rows) if rows else 0.0,
        hours_of_video=scale * sum(row.get("duration_s") or 0.0 for row in rows) / 3600,
        cpu_hours=cpu_hours,
        faces=faces,
        gpu_hours=gpu_hours,
        cost=prices.cost(cpu_hours, gpu_hours),
        currency=prices.currency,
    )


def _spread(work: pa.Table, count: int) -> list[Row]:
    """Gives rows spread evenly by size, so that the sample has the mix of the whole."""
    order = np.argsort(work["size_bytes"].fill_null(0).to_numpy(), kind="stable")
    if len(order) > count:
        order = order[((np.arange(count) + 0.5) * len(order) / count).astype(int)]
    rows: list[Row] = work.take(pa.array(order)).to_pylist()
    return rows


def _prepare(job: Job, rows: list[Row]) -> list[Row]:
    """Gives what the estimate needs of each prepared row; its crops would fill the memory."""
    stage = job.prepare.build()
    try:
        return [_without_crops(stage(row)) for row in rows]
    finally:
        stage.close()


def _without_crops(row: Row) -> Row:
    return {
        "status": row["status"],
        "duration_s": row.get("duration_s"),
        "faces": len(row.get("crops") or ()),
    }
