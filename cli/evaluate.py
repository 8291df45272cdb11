"""`mover-ray evaluate`: what scores are worth, given the truth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from .console import print_json, print_note, print_table
from .options import Address, Json, Profile
from .submission import Call, sent_as_job

if TYPE_CHECKING:
    from mover_ray.evaluation.report import Line, MaskLine, Report

_UNITS = {"video": "videos", "frame": "single frames", "name": "videos merged by name"}

_SHOWN = {
    "AUC": "auc",
    "AUC, unscored as 0.5": "auc_all",
    "AP": "ap",
    "EER": "eer",
    "found at 1 % alarms": "tpr_at_1_percent",
    "balanced accuracy": "balanced_accuracy",
}

_SHOWN_OF_MASKS = {
    "pixel AUC": "pixel_auc",
    "IoU": "iou",
    "F1": "f1",
    "pixels right": "pixel_accuracy",
    "area alarmed in reals": "false_positive_area",
}


def evaluate(
    context: typer.Context,
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
            " missing-faces, localization, diffusion-images, robustness or deepfakebench.",
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
    address: Address = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Measure results against the truth, as a protocol asks.

    Intervals are 95 % bootstrap intervals over people, where these are known.
    """
    from mover_ray.config import gather
    from mover_ray.evaluation.bootstrap import BootstrapConfig
    from mover_ray.operations import evaluate as operation
    from mover_ray.operations.evaluate_job import EvaluateJob

    options = EvaluateJob(
        results=tuple(results),
        protocol=protocol,
        split=split,
        manifest=manifest,
        threshold_from=tuple(threshold_from or ()),
        trained_on=tuple(trained_on or ()),
        bootstrap=BootstrapConfig(draws=draws, seed=seed),
        out=out,
        address=address,
    )
    if sent_as_job("evaluate", options, Call(context, gather(profile=profile), address, as_json)):
        return
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
    if report.masks:
        typer.echo("\nmasks of the frames that were kept, in percent")
        print_table(*_mask_table(report.masks), numbers=len(_SHOWN_OF_MASKS) + 2)
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


def _mask_table(lines: "Sequence[MaskLine]") -> tuple[list[str], list[list[str]]]:
    """Gives header and cells."""
    rows = []
    for line in lines:
        shares = (line.figures[name] for name in _SHOWN_OF_MASKS.values())
        rows.append(
            [
                line.run,
                line.dataset or "-",
                line.part or "all",
                *(f"{line.figures[name]:,}" for name in ("fake_masks", "real_masks")),
                *("-" if share is None else f"{share * 100:.1f}" for share in shares),
            ]
        )
    return ["results", "data set", "part", "of fakes", "of reals", *_SHOWN_OF_MASKS], rows
