"""What the commands do with jobs: submit, look at, wait for, stop."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from mover_ray.config import suggest
from mover_ray.errors import ConfigError, MoverRayError
from mover_ray.pipelines.jobs_client import STATES, JobRecord, JobsClient, Submission
from mover_ray.pipelines.jobs_http import NoAnswerError
from mover_ray.pipelines.jobs_progress import (
    ClusterLoad,
    RunProgress,
    cluster_load,
    read_progress,
)
from mover_ray.pipelines.jobs_spec import (
    ENTRY_POINTS,
    JobSpec,
    make_spec,
    mark_of_runs,
    mark_of_source,
)
from mover_ray.pipelines.progress import Progress

#: Exit code of a job that was stopped, as a shell reports SIGTERM.
STOPPED_EXIT: Final = 143

_POLL_S: Final = 2.0
_PATIENCE_S: Final = 300.0
_TRAININGS: Final = ("pretrain", "finetune", "prototypes")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStatus:
    """One job, how far it is, and how busy the cluster is."""

    job: JobRecord
    progress: RunProgress | None
    """None before the first rows, and for trainings and evaluations."""
    unreadable: str | None
    """Why the progress cannot be read from here."""
    load: ClusterLoad | None
    """None once the job has ended, or where the dashboard does not say."""

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """Which jobs are listed."""

    states: Collection[str] = ()
    """Any of these; empty for all."""
    commands: Collection[str] = ()
    """Any of these; empty for all."""
    labels: Mapping[str, str] | None = None
    """All of these."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a state or a command that does not exist."""
        for kind, words, known in (
            ("state", self.states, STATES),
            ("command", self.commands, tuple(ENTRY_POINTS)),
        ):
            for word in words:
                if word not in known:
                    raise ConfigError(f"unknown {kind}: `{word}`", hint=suggest(word, known))

    def takes(self, job: JobRecord) -> bool:
        """Says whether a job is listed."""
        wanted = (self.labels or {}).items()
        return (
            (not self.states or job.state in self.states)
            and (not self.commands or job.command in self.commands)
            and all(job.labels.get(name) == value for name, value in wanted)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitOptions:
    """What `jobs submit` is told beside the command that it submits."""

    labels: tuple[str, ...] = ()
    """`name=value` each."""
    mark: str | None = None
    """Stands for the source's videos where it cannot be listed from here."""
    again: bool = False
    """Start another attempt although one has succeeded."""


def submit(
    client: JobsClient,
    command: str,
    options: Any,
    how: SubmitOptions,
    *,
    max_failed: int | None = None,
) -> Submission:
    """Submits what a command line asks for, unless the same job is there.

    Args:
        client: The cluster.
        command: Key of `jobs_spec.ENTRY_POINTS`.
        options: The options dataclass of that command.
        how: Labels and the like.
        max_failed: Of a run: with more failed videos the job has failed.

    Raises:
        ConfigError: The options cannot travel, or a label is misspelt.
        LocationError: The source cannot be listed, or the cluster refuses.
    """
    further = {} if max_failed is None else {"max_failed": max_failed}
    spec = make_spec(command, options, **further)
    mark = how.mark if how.mark is not None else input_mark(command, options)
    return client.submit(spec, mark, parse_labels(how.labels), again=how.again)


def input_mark(command: str, options: Any) -> str:
    """Gives what stands for the input of a command as it is now.

    Args:
        command: Key of `jobs_spec.ENTRY_POINTS`.
        options: The options dataclass of that command.

    Raises:
        LocationError: It cannot be read from here.
    """
    if command == "evaluate":
        return mark_of_runs(one.rpartition("=")[2] for one in options.results)
    if command in _TRAININGS:
        return mark_of_runs(options.corpus)
    try:
        return mark_of_source(options)
    except MoverRayError as error:
        error.hint = error.hint or (
            "where only the cluster can list the source, let `--mark TEXT` stand for it"
        )
        raise


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Gives `name=value` labels; one without `=` raises `ConfigError`."""
    labels = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"not a label: `{text}`", hint="write `--label name=value`")
        labels[name.strip()] = value.strip()
    return labels


def list_jobs(client: JobsClient, wanted: JobFilter, limit: int | None = None) -> list[JobRecord]:
    """Lists jobs, the newest first."""
    return [job for job in client.jobs() if wanted.takes(job)][:limit]


def look_at(client: JobsClient, name: str) -> JobStatus:
    """Gives the status of a job.

    Raises:
        LocationError: There is no such job, or the cluster does not answer.
    """
    job = client.find(name)
    progress, unreadable = _progress_of(job)
    load = None if job.ended else _load_of(client)
    return JobStatus(job=job, progress=progress, unreadable=unreadable, load=load)


def wait_for(
    client: JobsClient, name: str, progress: Progress, timeout_s: float | None = None
) -> JobStatus | None:
    """Waits until a job has ended and shows meanwhile how far it is.

    Args:
        client: The cluster.
        name: The job.
        progress: Shows the run, as it does that of a local command.
        timeout_s: How long to wait at most.

    Returns:
        The job's last status; None where the time was over first.
    """
    job_id = client.find(name).job_id
    show = _Shown(progress)
    heard_s = time.monotonic()
    for _ in _ticks(timeout_s):
        try:
            status = look_at(client, job_id)
        except NoAnswerError:  # a head node that restarts, a network that changes
            if time.monotonic() - heard_s > _PATIENCE_S:
                raise
            continue
        heard_s = time.monotonic()
        show.update(status)
        if status.job.ended:
            return status
    return None


def stop(client: JobsClient, name: str, timeout_s: float) -> JobStatus:
    """Asks a job to end and waits until what was under way is committed.

    Args:
        client: The cluster.
        name: The job.
        timeout_s: How long to wait at most; 0 only asks.
    """
    job = client.find(name)
    if not job.ended:
        client.stop(job.job_id)
        for _ in _ticks(timeout_s):
            if client.find(job.job_id).ended:
                break
    return look_at(client, job.job_id)


def exit_code_of(job: JobRecord) -> int:
    """Gives the exit code that a command ends with which waited for a job."""
    if job.state == "succeeded":
        return 0
    if job.state == "stopped":
        return STOPPED_EXIT
    return job.exit_code if job.exit_code and job.exit_code > 0 else 1


def tail(text: str, lines: int | None) -> str:
    """Gives the last lines of a log; None for all of it."""
    if lines is None:
        return text
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines else ""


def follow(client: JobsClient, job_id: str, lines: int | None) -> Iterator[str]:
    """Gives a log piece by piece until its job ends, beginning with its last lines."""
    text = client.log(job_id)
    yield tail(text, lines)
    seen, heard_s = len(text), time.monotonic()
    while True:
        try:
            for piece in client.follow(job_id, skip=seen):
                seen, heard_s = seen + len(piece), time.monotonic()
                yield piece
        except NoAnswerError:
            if time.monotonic() - heard_s > _PATIENCE_S:
                raise
            time.sleep(_POLL_S)
        else:
            return


def _progress_of(job: JobRecord) -> tuple[RunProgress | None, str | None]:
    spec: JobSpec = job.spec
    if job.command in (*_TRAININGS, "evaluate") or spec.dest is None:
        return None, None
    try:
        found = read_progress(spec.dest)
    except MoverRayError as error:
        return None, str(error)
    older = found is not None and found.written_s < (job.started_s or 0.0)
    return (None if older and not job.ended else found), None


def _load_of(client: JobsClient) -> ClusterLoad | None:
    try:
        return cluster_load(client.nodes())
    except MoverRayError:  # the dashboard may hide it; the job's status is not in doubt
        return None


def _ticks(timeout_s: float | None, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Comes back every few seconds until the time is over."""
    end = None if timeout_s is None else clock() + timeout_s
    while True:
        yield
        left = _POLL_S if end is None else end - clock()
        if left <= 0:
            return
        time.sleep(min(left, _POLL_S))


class _Shown:
    """Turns one status after the other into the steps of a `Progress`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._state = ""
        self._last: RunProgress | None = None

    def update(self, status: JobStatus) -> None:
        if status.job.state != self._state:
            self._state = status.job.state
            self._progress.message(f"{status.job.job_id} is {self._state}")
        now, last = status.progress, self._last
        if now is None or now == last or now.finished:
            return
        if last is None or now.attempt != last.attempt or now.total != last.total:
            # The videos that are done already are no part of the rate.
            self._progress.start(now.total, now.done)
        else:
            self._progress.advance(_difference(now, last))
        self._last = now


def _difference(now: RunProgress, last: RunProgress) -> dict[str, int]:
    """Gives the rows that came in between, by status."""
    came = {status: count - last.counts.get(status, 0) for status, count in now.counts.items()}
    return {status: count for status, count in came.items() if count > 0}
