"""`mover-ray review`: questions to people, and their answers."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .console import print_json, print_note, print_table
from .options import Json

app = typer.Typer(
    help="Asks people about videos, and takes their answers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Results = Annotated[str, typer.Argument(help="Results of `score`.", metavar="RESULTS")]


@app.command()
def export(
    results: Results,
    out: Annotated[Path, typer.Option(help="Folder to make.", metavar="FOLDER")],
    limit: Annotated[int, typer.Option(min=1, help="Videos to ask about.", metavar="N")] = 100,
    order: Annotated[
        Literal["uncertain", "disagreement", "suspicious"],
        typer.Option(help="Which videos come first."),
    ] = "uncertain",
    base_url: Annotated[
        str | None,
        typer.Option(help="Where a browser finds the videos by file name.", metavar="URL"),
    ] = None,
) -> None:
    """Write tasks for Label Studio, the most uncertain videos first.

    The folder holds tasks.json to import and labeling.xml, the project's labelling interface.
    """
    from mover_ray.operations import review

    options = review.ReviewOptions(
        results=results, out=out, limit=limit, order=order, base_url=base_url
    )
    count = review.export_tasks(options)
    print_note(f"written: {out}, {count:,} videos to look at")


@app.command("import")
def import_labels(
    labels: Annotated[
        Path, typer.Argument(help="What Label Studio exported as JSON.", metavar="LABELS")
    ],
    results: Results,
    out: Annotated[str, typer.Option(help="Manifest to write.", metavar="MANIFEST")],
    split: Annotated[
        str | None, typer.Option(help="Split of these videos, such as val.", metavar="SPLIT")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a manifest of what people said, for calibration and training.

    Videos that people are unsure of, or do not agree on, are left out.
    """
    from mover_ray.operations import review

    found = review.import_labels(labels, results, out, split=split)
    if as_json:
        print_json({"labelled": found.labelled, "counts": found.counts})
        return
    rows = [[name, f"{count:,}"] for name, count in found.counts.items()]
    print_table(["answer", "videos"], rows, numbers=1)
    print_note(f"written: {out}, {found.labelled:,} videos")
