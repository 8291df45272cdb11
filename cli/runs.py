"""`mover-ray runs`: what became of a run, and how it is kept tidy."""

from dataclasses import asdict
from typing import Annotated

import typer

from .console import print_error, print_json, print_table
from .options import Json

NOT_PROVED = 1
DIFFERENT = 1

Run = Annotated[str, typer.Argument(help="Destination of a run.", metavar="DEST")]

app = typer.Typer(help="Looks after runs.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Look after runs, finished or not."""


@app.command()
def verify(dest: Run, as_json: Json = False) -> None:
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


@app.command()
def compact(
    dest: Run,
    target_mib: Annotated[
        float, typer.Option(help="Merge files until they have this size.", metavar="MIB")
    ] = 128.0,
    as_json: Json = False,
) -> None:
    """Merge the small files of a finished run into few large ones.

    Rows stay as they are and are proved again; the old files go to DEST/_orphans.
    """
    from mover_ray.operations.runs_compact import CompactOptions, compact_run

    from .progress import shown

    with shown() as progress:
        done = compact_run(CompactOptions(dest=dest, target_mib=target_mib), progress)
    if as_json:
        print_json(asdict(done))
    else:
        typer.echo(
            f"{done.rows:,} rows: {done.files_before:,} files before, {done.files_after:,} now"
        )


@app.command()
def vacuum(
    dest: Run,
    older_than_h: Annotated[
        float, typer.Option("--older-than", help="Keep younger files.", metavar="HOURS")
    ] = 24.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove files at DEST that no row counts on.

    Orphans of dead writers, files that a compaction or a retry has replaced, and work
    lists. Waits for a live run, and removes nothing that its readers go by.
    """
    from mover_ray.operations.runs_vacuum import VacuumOptions, vacuum_run

    from .progress import shown

    with shown() as progress:
        options = VacuumOptions(dest=dest, older_than_h=older_than_h, dry_run=dry_run)
        done = vacuum_run(options, progress)
    if as_json:
        print_json(asdict(done))
        return
    if dry_run:
        for uri in done.files:
            typer.echo(uri)
    typer.echo(
        f"{len(done.files):,} files {'would be ' * dry_run}removed, "
        f"{done.size_bytes / 2**20:.1f} MiB; {done.kept:,} younger ones kept"
    )


@app.command()
def diff(
    first: Annotated[str, typer.Argument(help="Destination of one run.", metavar="FIRST")],
    second: Annotated[str, typer.Argument(help="Destination of the other.", metavar="SECOND")],
    tolerance: Annotated[
        float, typer.Option(help="Scores that differ by no more are equal.", metavar="D")
    ] = 0.0,
    examples: Annotated[int, typer.Option(help="Videos to name.", metavar="N")] = 20,
    as_json: Json = False,
) -> None:
    """Compare what two runs say of the same videos.

    Exits with 1 if they differ.
    """
    from mover_ray.operations.runs_diff import DiffOptions, diff_runs

    options = DiffOptions(first=first, second=second, tolerance=tolerance, examples=examples)
    found = diff_runs(options)
    if as_json:
        print_json(found.as_json())
    else:
        print_table(
            ["videos", ""],
            [
                ["in both runs", f"{found.common:,}"],
                ["in the first alone", f"{found.only_first:,}"],
                ["in the second alone", f"{found.only_second:,}"],
                ["with another score", f"{found.rescored:,}"],
                *([move, f"{count:,}"] for move, count in found.moved.items()),
            ],
            numbers=1,
        )
        typer.echo(f"largest difference of scores: {found.largest:.6f}")
        if found.examples:
            rows = [
                [
                    _said(one.first_status, one.first_score),
                    _said(one.second_status, one.second_score),
                    one.uri,
                ]
                for one in found.examples
            ]
            print_table(["first", "second", "video"], rows)
    if not found.equal:
        raise typer.Exit(DIFFERENT)


def _said(status: str, score: float | None) -> str:
    return status if score is None else f"{score:.4f}"
