"""Puts the command groups together and turns errors into exit codes."""

import signal
import sys
import traceback
from types import FrameType
from typing import Annotated

import typer

from mover_ray import __version__
from mover_ray.errors import Interrupted, MoverRayError
from mover_ray.log import set_up_logging

from . import (
    demo,
    doctor,
    evaluate,
    extract,
    forge,
    forget,
    jobs,
    keys,
    manifest,
    models,
    overlay,
    plan,
    report,
    results,
    review,
    runs,
    score,
    serve,
    train,
)
from .console import print_error

PROGRAM = "mover-ray"

# Plain help: Rich's panels would triple the time that `--help` takes.
app = typer.Typer(
    name=PROGRAM,
    help="Finds manipulated faces in video archives: one Parquet row a video.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("demo")(demo.demo)
app.command("score")(score.score)
app.command("extract")(extract.extract)
app.command("forge")(forge.forge)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(manifest.app, name="manifest")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.add_typer(runs.app, name="runs")
app.add_typer(jobs.app, name="jobs")
app.command("plan")(plan.plan)
app.add_typer(results.app, name="results")
app.command("report")(report.report)
app.command("overlay")(overlay.overlay)
app.add_typer(review.app, name="review")
app.command("forget")(forget.forget)
app.add_typer(serve.app, name="serve")
app.add_typer(keys.app, name="keys")
app.command("doctor")(doctor.doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: ARG001 # its callback has answered already
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
    log_level: Annotated[
        str | None,
        typer.Option(help="debug, info, warning or error.", envvar="MOVER_RAY_LOG_LEVEL"),
    ] = None,
) -> None:
    set_up_logging(log_level)


def main() -> None:
    """Runs the command line and exits with the code that says how it ended."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_run())


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(number)


def _run() -> int:
    """Gives the exit code of the command; typer makes 130 of KeyboardInterrupt."""
    try:
        return app(prog_name=PROGRAM, standalone_mode=False) or 0
    except typer.TyperException as error:
        if error.format_message().startswith("Usage:"):  # no command at all: its help
            typer.echo(error.format_message(), err=True)
            return error.exit_code
        context = getattr(error, "ctx", None)
        command = context.command_path if context else PROGRAM
        print_error(error.format_message(), hint=f"see `{command} --help`")
        return error.exit_code
    except MoverRayError as error:
        print_error(str(error), hint=error.hint)
        return error.exit_code
    except Exception:  # noqa: BLE001 # the outermost seam: anything else is a bug
        traceback.print_exc()
        hint = "please report it with the lines above and the output of `mover-ray doctor --json`"
        print_error("this is a bug in mover-ray", hint=hint)
        return 1
