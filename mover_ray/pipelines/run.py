"""One run from its manifest to its proof, on either engine."""

import contextlib
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mover_ray.config import check_choice, to_mapping
from mover_ray.datasets import manifest as manifests
from mover_ray.datasets.manifest import BuiltManifest
from mover_ray.errors import ConfigError
from mover_ray.pipelines import attempt as attempts
from mover_ray.pipelines import proof
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.job import Job, PipelineConfig
from mover_ray.pipelines.lease import Lease, hold
from mover_ray.pipelines.local_engine import run_local
from mover_ray.pipelines.parts import total_bytes, write_part
from mover_ray.pipelines.progress import Progress, RunSummary
from mover_ray.pipelines.ray_config import RayConfig, prepare_environment
from mover_ray.pipelines.since import leave_out_answered
from mover_ray.pipelines.stop import stop_on_signals
from mover_ray.pipelines.tracked import TrackedProgress, Volume
from mover_ray.provenance import environment_facts, sha256_bytes, utc_now
from mover_ray.status import RETRIED_BY_DEFAULT, Status


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How one start of a run goes about its work."""

    dest: str
    """Absolute path or `s3://` prefix."""
    engine: str = "auto"
    """`local`, `ray`, or `auto`: Ray where a cluster is named or the work is large."""
    since: tuple[str, ...] = ()
    """Destinations of earlier runs; what they have answered is left out."""
    retry: Collection[str] = RETRIED_BY_DEFAULT
    """Rows with these statuses are computed again and replaced."""
    fresh: bool = False
    """Set aside what is at the destination and start over."""
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    """How the work is cut and spread."""
    ray: RayConfig = field(default_factory=RayConfig)
    """How to reach or start Ray."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for an engine or a status that does not exist."""
        check_choice(self, "engine", ("auto", "local", "ray"))
        known = sorted(str(status) for status in Status)
        for status in self.retry:
            if str(status) not in known:
                raise ConfigError(
                    f"unknown status: `{status}`", hint="known are " + ", ".join(known)
                )

    def what_is_new(self, job: Job, built: BuiltManifest) -> BuiltManifest:
        """Gives the manifest without what the runs of `since` have answered.

        Raises:
            LocationError: One of them is not there or not finished.
            ConfigError: It is the destination itself, or of another command.
        """
        if not self.since:
            return built
        destination = Destination(self.dest, job.folder)
        command = job.identity["command"]
        return leave_out_answered(
            built, self.since, destination, command=command, retried=self.retry
        )

    def choose_engine(self, videos: int) -> str:
        """Gives `local` or `ray` for so many videos."""
        if not videos:
            return "local"  # nothing is left but the proof
        if self.engine != "auto":
            return self.engine
        large = videos > self.pipeline.local_max_videos
        return "ray" if large or self.ray.address else "local"


def run(job: Job, built: BuiltManifest, options: RunOptions, progress: Progress) -> RunSummary:
    """Gives every video of the manifest its row at the destination.

    What earlier starts committed is kept, what is missing is computed, and at
    the end the whole is proved complete.

    Raises:
        HeldError: The destination is held or belongs to another model.
        Interrupted: A signal asked the run to end.
        IncompleteError: The proof failed.
    """
    started = time.monotonic()
    destination = Destination(options.dest, job.folder)
    # Before the lease, which writes: a refused destination stays untouched.
    if not options.fresh:
        attempts.check(destination, job.identity)
    built = options.what_is_new(job, built)
    if job.check is not None and not _looks_finished(destination, built):
        job.check()
    with hold(destination, options.pipeline.lease, progress) as lease:
        state = attempts.inspect(destination, built.table, job.identity, fresh=options.fresh)
        work = attempts.work_list(state, options.retry)
        outcome = _Outcome(job, built, options, state, work, started)
        if state.finished and not work.num_rows:
            destination.set_aside(state.stray)
            return outcome.nothing_to_do()
        number = attempts.begin(destination, lease, state, job.identity)
        _execute(outcome, destination, number, lease, progress)
        document = proof.finish(
            destination, lease, number, state.accepted, state.manifest, outcome.record()
        )
        return outcome.summary(document)


def _looks_finished(destination: Destination, built: BuiltManifest) -> bool:
    """Whether there is most likely nothing to do, so that a model need not be loaded."""
    success = destination.success()
    return success is not None and bool(success["total"] >= built.table.num_rows)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is known of a run, put into its record and its summary."""

    job: Job
    built: BuiltManifest
    options: RunOptions
    state: attempts.State
    work: pa.Table
    started: float

    @property
    def engine(self) -> str:
        return self.options.choose_engine(self.work.num_rows)

    @property
    def resumed(self) -> int:
        return int(self.state.manifest.num_rows - self.work.num_rows)

    def volume(self) -> Volume:
        """Gives how many bytes there are, and how many are done."""
        total = total_bytes(self.state.manifest)
        return Volume(total, total - total_bytes(self.work))

    def record(self) -> dict[str, Any]:
        """Gives what `_SUCCESS.json` says beside files and counts."""
        return {
            "run_id": self.state.run_id,
            "identity": dict(self.job.identity),
            "settings": {**self.job.settings, "pipeline": to_mapping(self.options.pipeline)},
            "model": self.job.model,
            "manifest_sha256": sha256_bytes(manifests.encode(self.state.manifest)),
            **environment_facts(),
            "engine": self.engine,
            "resumed": self.resumed,
            "since": list(self.options.since),
            "total_bytes": total_bytes(self.state.manifest),
            "seconds": round(time.monotonic() - self.started, 3),
            "passed_over": self.built.passed_over_by_reason(),
            "finished_at": utc_now(),
        }

    def summary(self, document: dict[str, Any]) -> RunSummary:
        """Gives the summary of a run that has been proved."""
        return self._summary(
            self.engine, document["attempt"], document["counts"], len(document["files"])
        )

    def nothing_to_do(self) -> RunSummary:
        """Gives the summary of a start that found everything done."""
        counts = self.state.settled.counts()
        last = max((part.attempt for part in self.state.accepted), default=0)
        return self._summary("none", last, counts, len(self.state.accepted))

    def _summary(self, engine: str, attempt: int, counts: dict[str, int], files: int) -> RunSummary:
        return RunSummary(
            dest=self.options.dest,
            run_id=self.state.run_id,
            attempt=attempt,
            engine=engine,
            total=self.state.manifest.num_rows,
            resumed=self.resumed,
            counts=counts,
            files=files,
            seconds=time.monotonic() - self.started,
            passed_over=self.built.passed_over_by_reason(),
        )


def _execute(
    outcome: _Outcome, destination: Destination, attempt: int, lease: Lease, progress: Progress
) -> None:
    job, work, options = outcome.job, outcome.work, outcome.options
    job = job.for_run(outcome.state.run_id)
    tracked = TrackedProgress(progress, destination, attempt, outcome.volume())
    with _shown(tracked, outcome) as shown:
        if not work.num_rows:
            return
        if outcome.engine == "ray":
            prepare_environment(options.ray)
            from mover_ray.pipelines import ray_engine

            with (
                stop_on_signals(shown, at_once=True),
                ray_engine.connected(options.ray),
                # Again: Ray has set its own handlers.
                stop_on_signals(shown, at_once=False) as stop,
            ):
                watch = ray_engine.Watch(shown, stop)
                ray_engine.run_ray(job, work, options, destination, attempt, watch)
            return

        def commit(task: int, rows: pa.Table) -> None:
            lease.assert_held()
            written = write_part(destination, attempt, task, rows)
            shown.advance(written.counts, written.video_bytes)

        with stop_on_signals(shown, at_once=False) as stop:
            run_local(job, work, options.pipeline, commit, stop)
            stop.raise_if_requested()


@contextlib.contextmanager
def _shown(progress: TrackedProgress, outcome: _Outcome) -> Iterator[TrackedProgress]:
    progress.start(outcome.state.manifest.num_rows, outcome.resumed)
    try:
        yield progress
    finally:
        progress.finish()
