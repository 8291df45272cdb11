"""A command that is sent to a cluster as a job instead of being run here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from .console import print_json, print_note

if TYPE_CHECKING:
    from mover_ray.config import Settings
    from mover_ray.operations.jobs import SubmitOptions
    from mover_ray.pipelines.jobs_client import JobsClient, Submission


_CAN_BE_JOBS = ("score", "extract", "forge", "train", "evaluate")


@dataclass(frozen=True, slots=True)
class Request:
    """What `jobs submit` was told; the command behind it finds it in its context."""

    address: str | None
    how: "SubmitOptions"
    as_json: bool


@dataclass(frozen=True, slots=True)
class Call:
    """How a command was called that can be a job, beside its own options."""

    context: typer.Context
    settings: "Settings"
    address: str | None
    as_json: bool
    max_failed: int | None = None


def sent_as_job(command: str, options: Any, call: Call) -> bool:
    """Submits a command where a job is wanted; False where it is to be run here.

    `jobs submit COMMAND` comes back at once. A command whose address is that of a
    Jobs API waits for its job, and ends as the job does.

    Raises:
        typer.Exit: With the exit code of the job.
    """
    from mover_ray.operations.jobs import SubmitOptions, submit
    from mover_ray.pipelines.jobs_config import is_jobs_address, ray_address

    request = call.context.obj if isinstance(call.context.obj, Request) else None
    given = call.address or (request.address if request else None)
    address = ray_address(call.settings, given)
    if request is None and not is_jobs_address(address):
        return False
    client = open_client(call.settings, address)
    how = request.how if request else SubmitOptions()
    submission = submit(client, command, options, how, max_failed=call.max_failed)
    _tell_of_paths(submission)
    if request:
        show_submission(submission, as_json=request.as_json or call.as_json)
        return True
    show_submission(submission, as_json=False, to_stderr=True)
    wait_and_exit(client, submission.job.job_id, as_json=call.as_json)
    return True


def check_can_be_job(command: Sequence[str]) -> None:
    """Raises `ConfigError` unless a command line begins with a command that can be a job."""
    from mover_ray.config import suggest
    from mover_ray.errors import ConfigError

    if command[0] not in _CAN_BE_JOBS:
        hint = suggest(command[0], _CAN_BE_JOBS)
        raise ConfigError(f"no command that can be a job: `{command[0]}`", hint=hint)


def open_client(settings: "Settings", address: str | None) -> "JobsClient":
    """Gives the client of the cluster that a command line and its settings name."""
    from mover_ray.pipelines.jobs_client import JobsClient
    from mover_ray.pipelines.jobs_config import jobs_address, read_jobs_config

    return JobsClient(jobs_address(settings, address), read_jobs_config(settings))


def show_submission(submission: "Submission", *, as_json: bool, to_stderr: bool = False) -> None:
    """Says which job does it, and how to look at it."""
    job = submission.job
    if as_json:
        print_json({"job_id": job.job_id, "new": submission.is_new, "state": job.state})
        return
    said = "submitted" if submission.is_new else f"the same job is there ({job.state})"
    typer.echo(f"{said}: {job.job_id}", err=to_stderr)
    if not to_stderr:
        typer.echo(f"look at it:  mover-ray jobs status {job.job_id}")
        typer.echo(f"its log:     mover-ray jobs logs -f {job.job_id}")


def wait_and_exit(
    client: "JobsClient", job_id: str, *, as_json: bool, timeout_s: float | None = None
) -> None:
    """Shows a job until it has ended, then how it ended, and exits as it did.

    Raises:
        typer.Exit: Always; the exit code is the job's, or 124 when the time was over.
        Interrupted: On Ctrl-C, which leaves the job alone.
    """
    from mover_ray.operations.jobs import exit_code_of, wait_for

    from .job_display import detachable, show_status, show_timeout
    from .progress import shown

    with detachable(job_id), shown() as progress:
        status = wait_for(client, job_id, progress, timeout_s)
    if status is None:
        raise show_timeout(job_id, timeout_s or 0.0)
    show_status(status, as_json=as_json)
    raise typer.Exit(exit_code_of(status.job))


def _tell_of_paths(submission: "Submission") -> None:
    from mover_ray.pipelines.jobs_spec import local_locations

    paths = local_locations(submission.job.spec)
    if paths:
        print_note(f"every node of the cluster must see: {', '.join(paths)}")
