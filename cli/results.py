"""`mover-ray results`: what a run found."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .console import print_json, print_note, print_table
from .options import Json

if TYPE_CHECKING:
    from mover_ray.operations.results import Ranking

app = typer.Typer(
    help="Looks into the results of a run.", no_args_is_help=True, rich_markup_mode=None
)
Results = Annotated[str, typer.Argument(help="Results of `score`.", metavar="RESULTS")]

_UNTRAINED = "the model is untrained: its scores mean nothing"
_UNFINISHED = "the run has not finished: videos are missing"
_FIRST = ("video_id", "uri", "status", "error", "score", "num_tracks", "duration_s", "label")
_NESTED = ("faces", "segments", "masks")


@app.callback()
def _group() -> None:
    """Look into the results of a run, finished or not."""


@app.command()
def top(
    results: Results,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many videos.")] = 20,
    as_json: Json = False,
) -> None:
    """List the most suspicious videos."""
    from mover_ray.operations.results import most_suspicious

    found = most_suspicious(results, count)
    if as_json:
        print_json(found.rows)
    else:
        _show_ranking(found)


@app.command()
def show(
    results: Results,
    video: Annotated[str, typer.Argument(help="Its id, uri or file name.", metavar="VIDEO")],
    as_json: Json = False,
) -> None:
    """Show all that is known of one video."""
    from mover_ray.operations.json_values import plain
    from mover_ray.operations.results import whole_row

    row = plain(whole_row(results, video))
    if as_json:
        print_json(row)
    else:
        _show_row(row)


@app.command()
def export(
    results: Results,
    out: Annotated[Path, typer.Option(help="File or folder to make.", metavar="PATH")],
    form: Annotated[
        Literal["csv", "jsonl", "masks", "label-studio", "fiftyone"],
        typer.Option("--format", help="masks and fiftyone make a folder."),
    ] = "csv",
    min_score: Annotated[
        float | None, typer.Option(help="Only videos from this score on.", metavar="SCORE")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="For label-studio: where a browser finds the videos.", metavar="URL"),
    ] = None,
) -> None:
    """Write results in a form that other programs read.

    csv: a line a video, without faces and masks. jsonl: a document a video, without the pixels
    of masks. masks: PNG files and masks.csv. label-studio: tasks with predictions. fiftyone: a
    folder for fiftyone.types.FiftyOneVideoLabelsDataset.
    """
    from mover_ray.operations import results_export as operation

    options = operation.ExportOptions(
        results=results, out=out, format=form, min_score=min_score, base_url=base_url
    )
    count = operation.export(options)
    print_note(f"written: {out}, {count:,} videos")


@app.command()
def sql(
    results: Results,
    query: Annotated[str, typer.Argument(help="In DuckDB's dialect.", metavar="QUERY")],
    as_json: Json = False,
) -> None:
    """Answer a query over the results.

    Views: videos, faces, frames, segments, masks, manifest, and results, which holds the rows
    as they are stored. All have the column video_id.
    """
    from mover_ray.operations.results_sql import query as answer
    from mover_ray.pipelines.results import open_results

    found = answer(open_results(results), query)
    if as_json:
        print_json(found.rows)
        return
    rows = [[_cell(row[name]) for name in found.columns] for row in found.rows]
    print_table(found.columns, rows)


def _show_ranking(found: "Ranking") -> None:
    rows = [
        [
            row["uri"],
            "" if row["duration_s"] is None else f"{row['duration_s']:.1f} s",
            _cell(row["num_tracks"]),
            f"{row['score']:.3f}",
        ]
        for row in found.rows
    ]
    print_table(["video", "length", "faces", "score"], rows, numbers=3)
    if not all(row["trained"] for row in found.rows):
        print_note(_UNTRAINED)
    if not found.finished:
        print_note(_UNFINISHED)


def _show_row(row: dict[str, Any]) -> None:
    names = [*_FIRST, *(name for name in row if name not in (*_FIRST, *_NESTED))]
    lines = [[name, _cell(row[name])] for name in names if row[name] not in (None, [], {})]
    print_table(["field", "value"], lines)
    faces = [
        [
            str(face["track_id"]),
            f"{face['first_s']:.1f} to {face['last_s']:.1f} s",
            str(len(face["frames"])),
            str(sum(mask["track_id"] == face["track_id"] for mask in row["masks"])),
            "-" if face["score"] is None else f"{face['score']:.3f}",
        ]
        for face in row["faces"]
    ]
    if faces:
        print_table(["face", "seen", "frames", "masks", "score"], faces, numbers=3)
    if not row["trained"]:
        print_note(_UNTRAINED)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
