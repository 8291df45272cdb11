"""`mover-ray demo`: everything at once, from nothing."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Engine, Json

if TYPE_CHECKING:
    from mover_ray.operations.demo import DemoOutcome

NOTE = """\
The model is untrained: its scores mean nothing, they only show where scores stand.
Rows: {results}
Read them:
  {python} -c "import pyarrow.parquet as pq; print(pq.read_table('{results}',
    columns=['uri', 'status', 'score']).to_pandas())"
  duckdb -c "SELECT uri, status, score FROM '{results}/*.parquet'"
"""


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder that the demo may fill.", metavar="FOLDER")
    ] = Path("demo"),
    seed: Annotated[
        int, typer.Option(min=0, help="Another seed makes other clips.", metavar="N")
    ] = 0,
    engine: Engine = "auto",
    as_json: Json = False,
) -> None:
    """Make a small archive of videos, score it, and show the rows.

    Needs nothing but the installed package. The model is untrained: it shows
    how results look, not whether a face is manipulated.
    """
    from mover_ray.operations.demo import DemoConfig, run_demo

    from .console import print_json
    from .progress import shown
    from .summary import resumable

    with resumable(), shown() as progress:
        outcome = run_demo(DemoConfig(out=out, seed=seed, engine=engine), progress)
    if as_json:
        print_json(outcome.as_json())
    else:
        _print(outcome)


def _print(outcome: "DemoOutcome") -> None:
    from .console import print_table

    rows = [
        [
            row.name,
            row.method or row.label or "",
            row.status,
            "" if row.tracks is None else str(row.tracks),
            "" if row.score is None else f"{row.score:.3f}",
        ]
        for row in outcome.rows
    ]
    print_table(["video", "made as", "status", "faces", "score"], rows, numbers=2)
    typer.echo(NOTE.format(python=sys.executable, results=outcome.results), nl=False)
