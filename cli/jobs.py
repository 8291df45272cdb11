"""`mover-ray jobs`: runs on a cluster, submitted and looked at from anywhere."""

from typing import TYPE_CHECKING, Annotated

import typer

from .console import print_json
from .options import Json, Profile, split_commas

if TYPE_CHECKING:
    from mover_ray.pipelines.jobs_client import JobsClient

app = typer.Typer(help="Runs jobs on a cluster.", no_args_is_help=True, rich_markup_mode=None)

JobName = Annotated[
    str, typer.Argument(help="Id of a job, or how it begins.", metavar="JOB", show_default=False)
]
Jobs = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Jobs API; by default ray.address of the settings, then http://127.0.0.1:8265.",
        metavar="URL",
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="Such as team=trust; may be given again.", metavar="NAME=VALUE"),
]
Timeout = Annotated[
    float | None, typer.Option(min=0, help="Give up after so many seconds.", metavar="S")
]


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def submit(
    context: typer.Context,
    command: Annotated[
        list[str],
        typer.Argument(
            help="score, extract, forge, train or evaluate, with its options.",
            metavar="COMMAND ...",
            show_default=False,
        ),
    ],
    labels: Labels = None,
    mark: Annotated[
        str | None,
        typer.Option(
            help="Stands for the source's videos where only the cluster can list them.",
            metavar="TEXT",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Although the same job has succeeded.")
    ] = False,
    address: Jobs = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Run a command of mover-ray as a job.

    The options of `jobs submit` come first, then the command as one would give
    it here: `mover-ray jobs submit score s3://archive/ --out s3://results/run7`.
    The same command over the same videos is the same job.
    """
    from mover_ray.operations.jobs import SubmitOptions

    from .submission import Request, check_can_be_job

    check_can_be_job(command)
    how = SubmitOptions(labels=tuple(labels or ()), mark=mark, again=again)
    chosen = [] if profile is None or "--profile" in command else ["--profile", profile]
    root = context.find_root()
    root.command.main(
        args=[*command, *chosen],
        prog_name=root.info_name,
        standalone_mode=False,
        obj=Request(address, how, as_json),
    )


@app.command("list")
def list_(
    states: Annotated[
        str | None,
        typer.Option(
            "--state",
            help="Only these: pending, running, succeeded, failed, stopped.",
            metavar="STATE,...",
        ),
    ] = None,
    commands: Annotated[
        str | None,
        typer.Option("--command", help="Only these: score, pretrain, ...", metavar="COMMAND,..."),
    ] = None,
    labels: Labels = None,
    limit: Annotated[int, typer.Option(min=1, help="At most N jobs.", metavar="N")] = 50,
    address: Jobs = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List the jobs that the cluster remembers, the newest first."""
    from mover_ray.operations.jobs import JobFilter, list_jobs, parse_labels

    from .job_display import show_jobs

    wanted = JobFilter(
        states=split_commas(states) or (),
        commands=split_commas(commands) or (),
        labels=parse_labels(labels or ()),
    )
    found = list_jobs(_client(address, profile), wanted, limit)
    if as_json:
        print_json([job.as_json() for job in found])
    else:
        show_jobs(found)


@app.command()
def status(
    job: JobName, address: Jobs = None, profile: Profile = None, as_json: Json = False
) -> None:
    """Show how far a job is, and how busy the cluster."""
    from mover_ray.operations.jobs import look_at

    from .job_display import show_status

    show_status(look_at(_client(address, profile), job), as_json=as_json)


@app.command()
def logs(
    job: JobName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the job ends.")] = False,
    tail: Annotated[
        int | None, typer.Option(min=0, help="Only the last N lines.", metavar="N")
    ] = None,
    address: Jobs = None,
    profile: Profile = None,
) -> None:
    """Print what a job has logged."""
    from mover_ray.operations import jobs as operation

    from .job_display import detachable

    client = _client(address, profile)
    job_id = client.find(job).job_id
    if not follow:
        typer.echo(operation.tail(client.log(job_id), tail), nl=False)
        return
    with detachable(job_id):
        for piece in operation.follow(client, job_id, tail):
            typer.echo(piece, nl=False)


@app.command()
def stop(
    job: JobName,
    timeout: Annotated[
        float, typer.Option(min=0, help="Wait for the end so many seconds; 0: only ask.")
    ] = 150.0,
    address: Jobs = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """End a job when what is under way is committed.

    `mover-ray jobs resume` goes on from there.
    """
    from mover_ray.operations.jobs import stop as operation

    from .job_display import show_status

    show_status(operation(_client(address, profile), job, timeout), as_json=as_json)


@app.command()
def resume(
    job: JobName, address: Jobs = None, profile: Profile = None, as_json: Json = False
) -> None:
    """Go on with a job that failed or was stopped."""
    from .submission import show_submission

    show_submission(_client(address, profile).resume(job), as_json=as_json)


@app.command()
def wait(
    job: JobName,
    timeout: Timeout = None,
    address: Jobs = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Wait until a job has ended.

    Exits with the job's own exit code; 143 if it was stopped, 124 if the time
    was over first.
    """
    from .submission import wait_and_exit

    wait_and_exit(_client(address, profile), job, as_json=as_json, timeout_s=timeout)


def _client(address: str | None, profile: str | None) -> "JobsClient":
    from mover_ray.config import gather

    from .submission import open_client

    return open_client(gather(profile=profile), address)
