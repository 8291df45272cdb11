"""`mover-ray evaluate`: what scores are worth, given the truth."""

from typing import TYPE_CHECKING, Annotated

import typer

from .console import print_json, print_note, print_table
from .options import Json

if TYPE_CHECKING:
    from mover_ray.evaluation.report import Line, Report

_UNITS = {"video": "videos", "frame": "single frames", "name": "videos merged by name"}

_SHOWN = {
    "AUC": "auc",
    "AUC, unscored as 0.5": "auc_all",
    "AP": "ap",
    "EER": "eer",
    "found at 1 % alarms": "tpr_at_1_percent",
    "balanced accuracy": "balanced_accuracy",
}


def evaluate(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Results of `score`, each DEST or NAME=DEST.",
            metavar="RESULTS",
            show_default=False,
        ),
    ],
    protocol: Annotated[
        str,
        typer.Option(
            help="summary, cross-dataset, cross-manipulation, intra, ablations, few-data,"
            " missing-faces, diffusion-images, robustness or deepfakebench.",
            metavar="PROTOCOL",
        ),
    ] = "summary",
    out: Annotated[
        str | None, typer.Option(help="Folder for JSON, CSV and plots.", metavar="DIR")
    ] = None,
    threshold_from: Annotated[
        list[str] | None,
        typer.Option(help="Results on validation data that fix the threshold.", metavar="RESULTS"),
    ] = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Manifest that the model was trained on; what it shares with the test data is"
            " an error.",
            metavar="MANIFEST",
        ),
    ] = None,
    manifest: Annotated[
        str | None,
        typer.Option(help="Where labels come from, if not the results' own manifest."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split to evaluate.")] = "test",
    draws: Annotated[
        int, typer.Option(min=0, help="Draws behind the intervals; 0 for none.", metavar="N")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.", metavar="N")] = 0,
    as_json: Json = False,
) -> None:
    """Measure results against the truth, as a protocol asks.

    Intervals are 95 % bootstrap intervals over people, where these are known.
    """
    from mover_ray.evaluation.bootstrap import BootstrapConfig
    from mover_ray.operations import evaluate as operation

    options = operation.EvaluateOptions(
        results=tuple(results),
        protocol=protocol,
        split=split,
        manifest=manifest,
        threshold_from=tuple(threshold_from or ()),
        trained_on=tuple(trained_on or ()),
        bootstrap=BootstrapConfig(draws=draws, seed=seed),
    )
    found = operation.evaluate(options)
    written = operation.write(found, out) if out else []
    if as_json:
        print_json(found.report.as_json())
        return
    _show(found.report)
    for path in written:
        print_note(f"written: {path}")


def _show(report: "Report") -> None:
    typer.echo(report.question)
    sources: dict[str, int] = {}
    for unit, title in _UNITS.items():
        lines = [line for line in report.lines if line.unit == unit]
        if lines:
            typer.echo(f"\n{title}, in percent")
            print_table(*_table(lines, sources), numbers=len(_SHOWN) + 1)
    for source, number in sources.items():
        typer.echo(f"({number}) {source}")
    for quirk in report.quirks:
        print_note(f"quirk: {quirk}")
    for note in report.notes:
        print_note(note)


def _table(lines: "list[Line]", sources: dict[str, int]) -> tuple[list[str], list[list[str]]]:
    """Gives header and cells; numbers what was published in `sources`."""
    from mover_ray.evaluation.report import percent

    rows = []
    for line in lines:
        reported = []
        for one in line.published:
            number = sources.setdefault(f"{one.detector}, {one.where}", len(sources) + 1)
            reported.append(f"{one.value} ({number})")
        figures = line.figures
        rows.append(
            [
                line.run,
                line.dataset or "-",
                line.part or "all",
                ", ".join(reported) or "-",
                f"{figures.scored:,} of {figures.fakes + figures.reals:,}",
                *(percent(figures.metrics.get(name)) for name in _SHOWN.values()),
            ]
        )
    return ["results", "data set", "part", "published AUC", "scored", *_SHOWN], rows
