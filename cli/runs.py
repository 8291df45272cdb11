"""`mover-ray runs`: what became of a run."""

from typing import Annotated

import typer

from .console import print_error, print_json, print_table
from .options import Json

NOT_PROVED = 1

app = typer.Typer(help="Looks after runs.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Look after runs, finished or not."""


@app.command()
def verify(
    dest: Annotated[str, typer.Argument(help="Destination of a run.", metavar="DEST")],
    as_json: Json = False,
) -> None:
    """Prove again that a run is complete and its files are unaltered.

    Reads every file. Exits with 1 if the proof fails.
    """
    from mover_ray.operations.runs import verify_run

    found = verify_run(dest)
    if as_json:
        print_json(found.as_json())
    else:
        rows = [[status, f"{count:,}"] for status, count in found.counts.items()]
        print_table(["status", "videos"], [*rows, ["all", f"{found.videos:,}"]], numbers=1)
    if not found.proved:
        print_error(
            f"not proved: finished: {found.finished}, without a row: {found.missing}, "
            f"with two: {found.repeated}, unknown: {found.unknown}, "
            f"altered files: {', '.join(found.altered) or 'none'}",
            hint="the command that made the run, given again, adds what is missing",
        )
        raise typer.Exit(NOT_PROVED)
    if not as_json:
        typer.echo(f"proved: one row for each of {found.videos:,} videos, files as recorded")
