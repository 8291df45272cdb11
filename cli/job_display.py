"""How jobs look on a terminal."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from mover_ray.errors import Interrupted

from .console import print_error, print_json, print_table
from .progress import format_duration, format_failures

if TYPE_CHECKING:
    from mover_ray.operations.jobs import JobStatus
    from mover_ray.pipelines.jobs_client import JobRecord
    from mover_ray.pipelines.jobs_progress import ClusterLoad, RunProgress

#: As `timeout` of coreutils exits.
TIMED_OUT = 124

_MIB, _GIB = 1 << 20, 1 << 30
_SHOWN_LINES = 15


@contextmanager
def detachable(job_id: str) -> Iterator[None]:
    """Adds to an interruption that the job goes on, and how to find it again.

    Raises:
        Interrupted: On Ctrl-C and SIGTERM.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise _detached(Interrupted(signal.SIGINT), job_id) from None
    except Interrupted as interrupted:
        raise _detached(interrupted, job_id) from None


def _detached(interrupted: Interrupted, job_id: str) -> Interrupted:
    told = Interrupted(interrupted.signal_number)
    told.args = (f"no longer waiting; the job goes on: `{job_id}`",)
    told.hint = (
        f"`mover-ray jobs wait {job_id}` waits again, `mover-ray jobs stop {job_id}` ends it"
    )
    return told


def show_timeout(job_id: str, timeout_s: float) -> typer.Exit:
    """Says that a job has not ended in time; gives how the command ends."""
    print_error(
        f"the job has not ended after {format_duration(timeout_s)}: `{job_id}`",
        hint=f"it goes on; `mover-ray jobs stop {job_id}` ends it",
    )
    return typer.Exit(TIMED_OUT)


def show_jobs(jobs: "Sequence[JobRecord]") -> None:
    """Prints a table of jobs."""
    rows = [
        [
            job.job_id,
            job.state,
            when(job.started_s),
            _lasted(job),
            " ".join(f"{name}={value}" for name, value in job.labels.items()),
        ]
        for job in jobs
    ]
    print_table(["job", "state", "submitted", "took", "labels"], rows)


def show_status(status: "JobStatus", *, as_json: bool) -> None:
    """Prints all that is known of one job."""
    if as_json:
        print_json(status.as_json())
        return
    job = status.job
    rows = [
        ["job", job.job_id],
        ["state", _state(job)],
        ["submitted", when(job.started_s)],
        *([["took", _lasted(job)]] if job.ended else []),
        *([["result", dest]] if (dest := job.spec.dest) else []),
        *([["labels", " ".join(f"{k}={v}" for k, v in job.labels.items())]] if job.labels else []),
    ]
    rows += _progress_rows(status.progress, status.unreadable, ended=job.ended)
    rows += _load_rows(status.load)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")
    if job.state == "failed":
        _show_failure(job)


def when(seconds: float | None) -> str:
    """Gives a time of day in the user's time zone."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _state(job: "JobRecord") -> str:
    if job.state == "failed" and job.exit_code is not None:
        return f"failed with exit code {job.exit_code}"
    return job.state


def _lasted(job: "JobRecord") -> str:
    if job.started_s is None or job.ended_s is None:
        return ""
    return format_duration(job.ended_s - job.started_s)


def _progress_rows(
    progress: "RunProgress | None", unreadable: str | None, *, ended: bool
) -> list[list[str]]:
    if unreadable:
        return [["progress", f"unknown: {unreadable}"]]
    if progress is None:
        return []
    rows = [["videos", _share(progress.done, progress.total, "{:,}")]]
    if progress.total_bytes >= _MIB:
        unit, size = ("GiB", _GIB) if progress.total_bytes >= _GIB else ("MiB", _MIB)
        done, total = progress.done_bytes / size, progress.total_bytes / size
        rows.append([unit, _share(done, total, "{:,.3g}")])
    if not ended and progress.videos_per_s:
        left = "" if progress.eta_s is None else f", {format_duration(progress.eta_s)} left"
        rows.append(["rate", f"{progress.videos_per_s:.3g} videos/s{left}"])
    if not ended:
        rows.append(["as of", when(progress.written_s)])
    rows.append(["failed", format_failures(progress.counts) or "none"])
    return rows


def _share(done: float, total: float, form: str) -> str:
    percent = 100 * done / total if total else 100.0
    return f"{form.format(done)} of {form.format(total)} ({percent:.3g} %)"


def _load_rows(load: "ClusterLoad | None") -> list[list[str]]:
    if load is None or load.cpu_busy is None:
        return []
    rows = [["CPUs", f"{load.cpu_busy:.0%} busy on {load.nodes} node{'s' * (load.nodes != 1)}"]]
    if load.gpus:
        busy = "" if load.gpu_busy is None else f"{load.gpu_busy:.0%} busy of "
        rows.append(["GPUs", f"{busy}{load.gpus}"])
    return rows


def _show_failure(job: "JobRecord") -> None:
    """Prints the end of a failed job's log, which Ray keeps in its message."""
    for line in job.message.splitlines()[-_SHOWN_LINES:]:
        typer.echo(f"  {line}", err=True)
    print_error("the job failed", hint=f"`mover-ray jobs resume {job.job_id}` tries it again")
