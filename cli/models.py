"""`mover-ray models`: model bundles and the detectors that they are made of."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .console import print_json, print_table
from .options import Assignments, Json

if TYPE_CHECKING:
    from mover_ray.models.load_model import Model

app = typer.Typer(
    help="Makes and checks model bundles.", no_args_is_help=True, rich_markup_mode=None
)
BundlePath = Annotated[Path, typer.Argument(help="Folder of a model bundle.", metavar="BUNDLE")]


@app.command("list")
def list_detectors(as_json: Json = False) -> None:
    """List the detectors that a model can be made of."""
    from mover_ray.models.registry import DETECTORS

    if as_json:
        print_json(sorted(DETECTORS))
    else:
        print_table(["detector", "module"], [[name, where] for name, where in DETECTORS.items()])


@app.command()
def show(path: BundlePath, as_json: Json = False) -> None:
    """Show what a bundle says of itself."""
    from mover_ray.models.load_model import load_model

    _show(load_model(path), as_json=as_json)


@app.command()
def verify(path: BundlePath, as_json: Json = False) -> None:
    """Check a bundle whole: hashes, shapes, every weight finite."""
    from mover_ray.models.load_model import verify_model

    found = verify_model(path)
    if as_json:
        print_json({"model_sha256": found.model_sha256, "verified": True})
    else:
        typer.echo(f"verified: {path}, model_sha256 {found.model_sha256}")


@app.command()
def init(
    name: Annotated[
        str, typer.Argument(help="A detector of `models list`, or `ensemble`.", metavar="NAME")
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.", metavar="BUNDLE")],
    members: Annotated[
        list[Path] | None,
        typer.Option("--member", help="Bundle of an ensemble; once for each.", metavar="BUNDLE"),
    ] = None,
    assignments: Assignments = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights.", metavar="N")] = 0,
    storage: Annotated[
        Literal["float32", "float16"], typer.Option(help="Type of the stored weights.")
    ] = "float32",
    as_json: Json = False,
) -> None:
    """Make a bundle with random weights, or an ensemble of bundles.

    Random weights are marked untrained: `score` refuses them without --allow-untrained.
    An ensemble holds copies of its members and scores with all of them in one pass.
    """
    from mover_ray.config import parse_assignments
    from mover_ray.models.load_model import InitOptions, init_model

    options = InitOptions(
        out=out,
        name=name,
        settings=parse_assignments(assignments or ()),
        members=tuple(members or ()),
        seed=seed,
        storage=storage,
    )
    _show(init_model(options), as_json=as_json)


@app.command()
def calibrate(
    path: BundlePath,
    results: Annotated[
        str, typer.Option(help="Results of `score` with this bundle.", metavar="RESULTS")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to make; without it nothing is written.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to fit on; never test.")] = "val",
    method: Annotated[
        Literal["temperature", "isotonic"],
        typer.Option(help="isotonic needs a thousand videos or more."),
    ] = "temperature",
    manifest: Annotated[
        str | None,
        typer.Option(help="Where labels come from, if not the results' own manifest."),
    ] = None,
    prevalence: Annotated[
        float, typer.Option(help="Share of fakes that false alarms are told for.")
    ] = 0.001,
    as_json: Json = False,
) -> None:
    """Fit scores and thresholds to validation results.

    Says in plain words what each threshold finds and how many false alarms it gives.
    """
    from mover_ray.operations import calibrate as operation

    options = operation.CalibrateOptions(
        bundle=str(path),
        results=results,
        split=split,
        method=method,
        prevalence=prevalence,
        manifest=manifest,
        out=str(out) if out else None,
    )
    found = operation.calibrate(options)
    if as_json:
        print_json(found.as_json())
        return
    typer.echo(f"fitted on {found.real_videos:,} real and {found.fake_videos:,} fake videos")
    rows = [[name, f"{found.before[name]:.4f}", f"{found.after[name]:.4f}"] for name in found.after]
    print_table(["error on them", "before", "after"], rows, numbers=2)
    for alarms in found.alarms:
        typer.echo(alarms.sentence())
    if found.model_sha256:
        typer.echo(f"written: {out}, model_sha256 {found.model_sha256}")


def _show(found: "Model", *, as_json: bool) -> None:
    from mover_ray.models.load_model import describe

    document = describe(found)
    if as_json:
        print_json(document)
        return
    rows = [
        [key, value if isinstance(value, str) else json.dumps(value)]
        for key, value in document.items()
    ]
    print_table(["field", "value"], rows)
