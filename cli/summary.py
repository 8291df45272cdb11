"""How a run's end is shown, and with which exit code it ends the command."""

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from mover_ray.errors import Interrupted
from mover_ray.pipelines.dry_run import DryRun
from mover_ray.pipelines.progress import RunSummary
from mover_ray.status import ANSWERED

from .console import print_json, print_table
from .progress import format_duration

TOO_MANY_FAILED = 4


@contextmanager
def resumable() -> Iterator[None]:
    """Adds to an interruption the command that goes on from there.

    Raises:
        Interrupted: On Ctrl-C and SIGTERM.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise _resumable(Interrupted(signal.SIGINT)) from None
    except Interrupted as interrupted:
        raise _resumable(interrupted) from None


def _resumable(interrupted: Interrupted) -> Interrupted:
    interrupted.hint = f"go on with `{resume_command(sys.argv)}`"
    return interrupted


def resume_command(arguments: list[str]) -> str:
    """Gives the same command for a shell, without `--fresh`, which would start anew."""
    program = Path(arguments[0]).name
    return shlex.join([program, *(word for word in arguments[1:] if word != "--fresh")])


def end_run(summary: RunSummary, *, as_json: bool, max_failed: int | None) -> None:
    """Shows what became of the videos.

    Raises:
        typer.Exit: More rows failed than `max_failed`; the exit code is 4.
    """
    if as_json:
        print_json(summary.as_json())
    else:
        _print_summary(summary)
    failed = sum(count for status, count in summary.counts.items() if status not in ANSWERED)
    if max_failed is not None and failed > max_failed:
        typer.echo(f"{failed} videos failed, {max_failed} were allowed", err=True)
        raise typer.Exit(TOO_MANY_FAILED)


def _print_summary(summary: RunSummary) -> None:
    rows = [[status, f"{count:,}"] for status, count in sorted(summary.counts.items())]
    print_table(["status", "videos"], [*rows, ["all", f"{summary.total:,}"]], numbers=1)
    typer.echo(
        f"{summary.total - summary.resumed:,} processed in {format_duration(summary.seconds)}"
    )
    if summary.resumed:
        typer.echo(f"{summary.resumed:,} were there from an earlier start")
    for reason, count in summary.passed_over.items():
        typer.echo(f"{count:,} files passed over: {reason}")
    typer.echo(f"rows: {summary.dest}")


def show_dry_run(found: DryRun, *, as_json: bool) -> None:
    """Shows what a run would do."""
    if as_json:
        print_json(found.as_json())
        return
    left = found.videos - found.resumed
    typer.echo(f"{found.videos:,} videos, {found.resumed:,} of them done before")
    for reason, count in found.passed_over.items():
        typer.echo(f"{count:,} files passed over: {reason}")
    size_gib = found.bytes / (1 << 30)
    typer.echo(f"left: {size_gib:.3g} GiB, about {found.hours_of_video:.3g} hours of video")
    statuses = ", ".join(f"{status} {count}" for status, count in found.statuses.items())
    typer.echo(f"tried out: {found.sampled} videos: {statuses or 'none'}")
    typer.echo(f"expected to fail: about {round(found.failing_share * left):,} videos")
    work = f"about {found.cpu_hours:.3g} CPU hours like this one's"
    if found.gpu_hours:
        work += f", {found.gpu_hours:.3g} GPU hours for {found.faces:,} faces"
    typer.echo(f"work: {work}")
    if found.cost is not None:
        typer.echo(f"cost: about {found.cost:,.2f} {found.currency}")
