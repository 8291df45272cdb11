"""`mover-ray report`: a run as one page."""

from pathlib import Path
from typing import Annotated

import typer

from .console import print_note


def report(
    results: Annotated[str, typer.Argument(help="Results of `score`.", metavar="RESULTS")],
    out: Annotated[Path, typer.Option(help="HTML file to write.", metavar="FILE")] = Path(
        "report.html"
    ),
    cards: Annotated[
        int, typer.Option(min=0, help="Videos shown with pictures and timeline.", metavar="N")
    ] = 20,
    rows: Annotated[
        int, typer.Option(min=1, help="Videos of the table at most.", metavar="N")
    ] = 100_000,
    model: Annotated[
        str | None,
        typer.Option(help="Bundle that scored; says what false alarms to expect.", metavar="MODEL"),
    ] = None,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Do not read the videos again.")
    ] = False,
    unblur: Annotated[
        bool, typer.Option("--unblur", help="Leave faces recognisable: biometric data.")
    ] = False,
) -> None:
    """Write one HTML page of a run, for people.

    The page opens from disk and needs no server: summary, table of videos, and a card with
    pictures, marked regions and timeline for each of the most suspicious ones.
    """
    from mover_ray.operations import report as operation

    from .progress import shown

    options = operation.ReportOptions(
        results=results,
        out=out,
        cards=cards,
        rows=rows,
        model=model,
        pictures=not no_pictures,
        unblurred=unblur,
    )
    with shown() as progress:
        content = operation.write_report(options, progress.message)
    without = sum(card.note is not None for card in content.cards)
    if without and not no_pictures:
        print_note(f"{without:,} cards have no pictures; each says why")
    print_note(f"written: {out}")
