"""The stages in the calling process: for a handful of videos, and as the yardstick."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from mover_ray.pipelines.balance import balanced
from mover_ray.pipelines.job import Job, PipelineConfig, StageSpec
from mover_ray.pipelines.observed import observed
from mover_ray.pipelines.stop import StopRequest
from mover_ray.stages.base import Row, Stage

_ROWS_AT_ONCE = 1024

#: Takes the number of a task and its rows; returns when they are committed.
Commit = Callable[[int, pa.Table], None]


def run_local(
    job: Job, work: pa.Table, config: PipelineConfig, commit: Commit, stop: StopRequest
) -> None:
    """Runs every video of the work list and commits the rows block by block.

    Videos are prepared by a few threads at a time (decoding is in other
    processes, and the face models free the interpreter) and finished one by one
    in order, so that the rows do not depend on timing.

    Args:
        job: The stages.
        work: Rows of the manifest.
        config: How to cut and spread the work.
        commit: Called for each block, in order.
        stop: Asked between videos; what is finished by then is committed, what is
            only prepared is given up.
    """
    workers = config.workers or os.cpu_count() or 1
    block_rows = config.block_rows(work.num_rows, workers)
    work = balanced(work, block_rows)
    finish = job.finish.build()
    rows: list[Row] = []
    task = 0
    block_started = time.monotonic()
    try:
        with _Workers(job.prepare, workers) as pool:
            for prepared in pool.run(_rows(work), stop):
                with observed(job.finish, prepared) as span:
                    rows.append(finish(prepared))
                    span.finished(rows[-1])
                full = len(rows) >= block_rows
                if full or time.monotonic() - block_started > config.max_block_s:
                    commit(task, job.finish.to_table(rows))
                    rows, task, block_started = [], task + 1, time.monotonic()
        if rows:
            commit(task, job.finish.to_table(rows))
    finally:
        finish.close()


def _rows(work: pa.Table) -> Iterator[Row]:
    """Gives the rows a few at a time: a million of them as plain values take a GiB."""
    for batch in work.to_batches(_ROWS_AT_ONCE):
        yield from batch.to_pylist()


class _Workers:
    """Threads with a stage of their own each."""

    def __init__(self, spec: StageSpec, count: int) -> None:
        self._spec = spec
        self._count = count
        self._local = threading.local()
        self._stages: list[Stage] = []
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=spec.name)

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for stage in self._stages:
            stage.close()

    def run(self, rows: Iterable[Row], stop: StopRequest) -> Iterator[Row]:
        """Gives the stage's rows in order; at most two a worker are ahead of the caller."""
        ahead: deque[Future[Row]] = deque()
        for row in rows:
            if stop:
                return
            ahead.append(self._pool.submit(self._one, row))
            if len(ahead) >= 2 * self._count:
                yield ahead.popleft().result()
        while ahead and not stop:
            yield ahead.popleft().result()

    def _one(self, row: Row) -> Row:
        if not hasattr(self._local, "stage"):
            self._local.stage = self._spec.build()
            self._stages.append(self._local.stage)
        stage: Stage = self._local.stage
        with observed(self._spec, row) as span:
            out = stage(row)
            span.finished(out)
        return out
