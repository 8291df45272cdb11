"""The stages on a Ray cluster: Ray Data from the work list to our own sink."""

import contextlib
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset, Datasink
from ray.data._internal.execution.interfaces import TaskContext
from ray.data.block import Block
from ray.exceptions import RayTaskError

from mover_ray.errors import LocationError, MoverRayError
from mover_ray.log import set_up_logging
from mover_ray.pipelines import ray_metrics
from mover_ray.pipelines.balance import balanced
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.job import Job, StageSpec
from mover_ray.pipelines.observed import observed
from mover_ray.pipelines.parts import write_part
from mover_ray.pipelines.quarantine import Guard, open_book
from mover_ray.pipelines.ray_config import RayConfig
from mover_ray.pipelines.ray_polling import polled
from mover_ray.pipelines.ray_stop import StopSign, draining
from mover_ray.pipelines.resources import Pools, plan_pools
from mover_ray.pipelines.stop import StopRequest
from mover_ray.pipelines.tracked import TrackedProgress
from mover_ray.stages.base import LooksAhead, Row, Stage

if TYPE_CHECKING:
    from mover_ray.pipelines.run import RunOptions

_logger = logging.getLogger(__name__)
_ACTOR_STARTS = 5
# A task that reserves no CPU would start a process for every block that waits.
_WRITERS = 2


@contextlib.contextmanager
def connected(config: RayConfig) -> Iterator[None]:
    """Joins or starts a cluster for the length of a `with` block.

    A cluster that is started speaks over loopback and asks for a token.

    Raises:
        LocationError: There is no cluster at the address, or it refuses.
    """
    if config.address is not None:
        _join(config.address)
    else:
        ray.init(
            address="local",  # never by chance a cluster that somebody else started
            num_cpus=config.num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _node_ip_address="127.0.0.1",
            _temp_dir=config.temp_dir,
        )
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise LocationError(
            f"no Ray cluster can be joined at: `{address}`: {reason}",
            hint="`ray status` on its head node says whether it runs",
        ) from error


@dataclass(frozen=True, slots=True)
class Watch:
    """Who follows a run from outside, and may end it."""

    progress: TrackedProgress
    """Told of committed videos while the run goes on."""
    stop: StopRequest
    """Asked all the time."""


def run_ray(
    job: Job,
    work: pa.Table,
    options: "RunOptions",
    destination: Destination,
    attempt: int,
    watch: Watch,
) -> None:
    """Runs every video of the work list on the cluster that this process has joined.

    Once somebody asks for the end, no video is begun any more.

    Args:
        job: The stages.
        work: Rows of the manifest.
        options: How to cut and spread the work, and how long to wait for a sign of life.
        destination: Where the parts go.
        attempt: The attempt that writes them.
        watch: Who follows the run.

    Raises:
        Interrupted: Somebody asked for the end; what is under way is committed.
    """
    config = options.pipeline
    pools = plan_pools(config)
    tracker = ray.remote(num_cpus=0, max_restarts=-1)(_Tracker).remote()
    sink = PartSink(destination.base, destination.folder, attempt, tracker)
    block_rows = config.block_rows(work.num_rows, pools.prepare_max)
    work_uri = destination.write_work_list(attempt, balanced(work, block_rows))
    pools = pools.at_most(math.ceil(work.num_rows / block_rows))
    _set_context(options.ray.no_progress_s)
    dataset = build_dataset(
        job, work_uri, block_rows, pools, config.quarantine_after, StopSign(tracker)
    )
    gauges = ray_metrics.RunGauges(work.num_rows)

    def deliver(news: tuple[dict[str, int], int]) -> None:
        watch.progress.advance(*news)
        gauges.advance(news[0])

    with polled(tracker, deliver), draining(watch.stop, tracker):
        try:
            dataset.write_datasink(sink, ray_remote_args={"num_cpus": 0}, concurrency=_WRITERS)
        except RayTaskError as error:
            if isinstance(error.cause, MoverRayError):
                raise error.cause from None  # a user's error needs no worker's traceback
            raise
    watch.stop.raise_if_requested()


def build_dataset(
    job: Job,
    work_uri: str,
    block_rows: int,
    pools: Pools,
    quarantine_after: int,
    stopping: StopSign | None = None,
) -> Dataset:
    """Gives the plan up to the sink: read, cut, prepare, finish.

    The two pools are actor pools, so that Ray does not fuse them: decoding must
    run on CPU nodes while scoring runs on GPU nodes.
    """
    book = open_book()
    # Without `partitioning=None` a destination such as `split=test/` would become a column.
    dataset = ray.data.read_parquet(work_uri, num_cpus=0, partitioning=None)
    dataset = dataset.repartition(target_num_rows_per_block=block_rows)
    dataset = dataset.map_batches(
        StageWorker,
        fn_constructor_args=(
            job.prepare,
            Guard(book, job.prepare.name, quarantine_after),
            stopping,
        ),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=pools.prepare_cpus,
        compute=ActorPoolStrategy(min_size=pools.prepare_min, max_size=pools.prepare_max),
    )
    return dataset.map_batches(
        StageWorker,
        fn_constructor_args=(job.finish, Guard(book, job.finish.name, quarantine_after)),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=pools.finish_cpus,
        num_gpus=pools.finish_gpus,
        compute=ActorPoolStrategy(min_size=pools.finish_min, max_size=pools.finish_max),
    )


def _set_context(no_progress_s: float) -> None:
    """Sets what Ray Data reads when a dataset is made."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_consecutive_actor_init_deaths = _ACTOR_STARTS
    context.execution_no_progress_timeout_s = no_progress_s
    _quieten()


def _quieten() -> None:
    """Leaves Ray Data's narration in its log files; our own progress is on the terminal."""
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.ERROR)


class StageWorker:
    """A stage as an actor of Ray Data."""

    def __init__(self, spec: StageSpec, guard: Guard, stopping: StopSign | None = None) -> None:
        """Builds the stage on the node where it will run."""
        set_up_logging()  # a worker's stderr is a log file
        self._spec = spec
        self._guard = guard
        self._stopping = stopping
        self._stage: Stage = spec.build()

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Gives the rows one by one: the crops of many videos would not fit one table."""
        rows = table.to_pylist()
        for row, following in zip_longest(rows, rows[1:]):
            if self._stopping:
                return
            self._expect(following)
            with observed(self._spec, row) as span:
                out = self._guard.run(self._stage, row)
                span.finished(out)
            yield self._spec.to_table([out])

    def _expect(self, row: Row | None) -> None:
        if row is not None and isinstance(self._stage, LooksAhead):
            self._stage.expect(row)


class PartSink(Datasink[list[str]]):
    """Commits each task's rows as one part file."""

    def __init__(self, base: str, folder: str, attempt: int, tracker: Any) -> None:
        """Names where to; the destination is opened anew on each worker."""
        self._base = base
        self._folder = folder
        self._attempt = attempt
        self._tracker = tracker

    def write(self, blocks: Iterable[Block], ctx: TaskContext) -> list[str]:
        """Writes one part; gives its name. A task that is tried again adopts its own file."""
        tables = [block for block in blocks if block.num_rows]
        if not tables:
            return []
        destination = Destination(self._base, self._folder)
        rows = pa.concat_tables(tables)
        written = write_part(destination, self._attempt, ctx.task_idx, rows)
        ray_metrics.count(ray_metrics.Measures.of(rows))
        self._tracker.add.remote(written.counts, written.video_bytes)
        return [written.part.name]

    def get_name(self) -> str:
        """Gives the operator's name in Ray's plans and logs."""
        return "CommitParts"


class _Tracker:
    """Counts committed videos for the driver's display, and tells workers to stop."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._bytes = 0
        self._stopping = False

    def add(self, counts: dict[str, int], size_bytes: int) -> None:
        self._counts.update(counts)
        self._bytes += size_bytes

    def stop(self) -> None:
        self._stopping = True

    def is_stopping(self) -> bool:
        return self._stopping

    def take(self) -> tuple[dict[str, int], int] | None:
        if not self._counts:
            return None
        taken = dict(self._counts), self._bytes
        self._counts.clear()
        self._bytes = 0
        return taken
