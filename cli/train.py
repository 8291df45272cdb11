"""`mover-ray train`: from extracted faces to a model that `score` takes."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .console import print_json, print_table
from .options import Address, Assignments, ConfigFile, Dest, Json, Profile
from .submission import Call, sent_as_job

if TYPE_CHECKING:
    from mover_ray.config import Settings
    from mover_ray.pipelines.train import TrainOptions

app = typer.Typer(help="Trains detectors.", no_args_is_help=True, rich_markup_mode=None)

Preset = Annotated[
    str, typer.Argument(help="One of `train presets`, or a TOML file.", metavar="PRESET")
]
Corpus = Annotated[
    list[str] | None,
    typer.Option(help="DEST of a finished `extract`; may be given again.", metavar="EXTRACT"),
]
Workers = Annotated[
    str | None,
    typer.Option(help="Processes that train together; 2:8 goes on with fewer.", metavar="N"),
]


@app.command()
def pretrain(
    context: typer.Context,
    preset: Preset,
    dest: Dest,
    corpus: Corpus = None,
    start: Annotated[
        str | None,
        typer.Option(help="timm:NAME or a safetensors file for the encoder.", metavar="WEIGHTS"),
    ] = None,
    workers: Workers = None,
    address: Address = None,
    profile: Profile = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """First stage: an autoencoder learns real faces.

    The same command again goes on from the newest checkpoint.
    """
    settings = _settings(config, assignments, profile)
    options = _options(preset, dest, corpus, start, workers, address, settings)
    _train("pretrain", options, Call(context, settings, address, as_json))


@app.command()
def finetune(
    context: typer.Context,
    preset: Preset,
    dest: Dest,
    corpus: Corpus = None,
    start: Annotated[
        str | None,
        typer.Option(help="DEST of `train pretrain`, for `fcg` of `prototypes`.", metavar="DEST"),
    ] = None,
    workers: Workers = None,
    address: Address = None,
    profile: Profile = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Second stage: a detector learns to tell fakes.

    Leaves a bundle for `score`. The same command again goes on from the newest checkpoint.
    """
    settings = _settings(config, assignments, profile)
    options = _options(preset, dest, corpus, start, workers, address, settings)
    _train("finetune", options, Call(context, settings, address, as_json))


@app.command()
def prototypes(
    context: typer.Context,
    preset: Preset,
    dest: Dest,
    corpus: Corpus = None,
    profile: Profile = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Before `fcg`: how its backbone sees real faces' parts.

    Takes the preset that `finetune` will take; give it the destination as --start.
    """
    from mover_ray.pipelines.train_prototypes import build_prototypes

    from .progress import format_duration, shown

    settings = _settings(config, assignments, profile)
    options = _options(preset, dest, corpus, None, None, None, settings)
    if sent_as_job("prototypes", options, Call(context, settings, None, as_json)):
        return
    with shown() as progress:
        summary = build_prototypes(options, progress)
    if as_json:
        print_json(summary.as_json())
        return
    duration = format_duration(summary.seconds)
    typer.echo(f"prototypes of {summary.faces} faces in {duration}: {summary.dest}")


@app.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="Show this one.", metavar="PRESET")] = None,
    as_json: Json = False,
) -> None:
    """List the presets, or show what one of them takes and gives."""
    from mover_ray.pipelines import train_presets

    if name is not None:
        text, settings = train_presets.read(name)
        print_json(settings) if as_json else typer.echo(text, nl=False)
        return
    known = {
        each: train_presets.headline(train_presets.read(each)[0]) for each in train_presets.names()
    }
    if as_json:
        print_json(known)
    else:
        print_table(["preset", "trains"], [[each, what] for each, what in known.items()])


def _settings(config: ConfigFile, assignments: Assignments, profile: str | None) -> "Settings":
    from mover_ray.pipelines.train import gather_settings

    return gather_settings(config, assignments or (), profile)


def _options(
    preset: str,
    dest: str,
    corpus: list[str] | None,
    start: str | None,
    workers: str | None,
    address: str | None,
    settings: "Settings",
) -> "TrainOptions":
    from mover_ray.pipelines.train import TrainOptions

    from .summary import resume_command

    return TrainOptions(
        preset=preset,
        dest=dest,
        corpus=tuple(corpus or ()),
        start=start,
        workers=workers,
        address=address,
        command=resume_command(sys.argv),
        settings=settings,
    )


def _train(stage: str, options: "TrainOptions", call: Call) -> None:
    from mover_ray.pipelines import train as pipeline

    from .progress import format_duration, shown
    from .summary import resumable

    if sent_as_job(stage, options, call):
        return
    with resumable(), shown() as progress:
        summary = pipeline.train(stage, options, progress)
    if call.as_json:
        print_json(summary.as_json())
        return
    rows = [[name, f"{value:.4g}"] for name, value in summary.metrics.items()]
    print_table(["best epoch", "value"], rows, numbers=1)
    typer.echo(f"trained in {format_duration(summary.seconds)}: {summary.model}")
