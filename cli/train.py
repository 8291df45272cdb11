"""`mover-ray train`: from extracted faces to a model that `score` takes."""

import sys
from typing import Annotated

import typer

from .console import print_json, print_table
from .options import Address, Assignments, ConfigFile, Dest, Json

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
    preset: Preset,
    dest: Dest,
    corpus: Corpus = None,
    start: Annotated[
        str | None,
        typer.Option(help="timm:NAME or a safetensors file for the encoder.", metavar="WEIGHTS"),
    ] = None,
    workers: Workers = None,
    address: Address = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """First stage: an autoencoder learns real faces.

    The same command again goes on from the newest checkpoint.
    """
    _train("pretrain", preset, dest, corpus, start, workers, address, config, assignments, as_json)


@app.command()
def finetune(
    preset: Preset,
    dest: Dest,
    corpus: Corpus = None,
    start: Annotated[
        str | None, typer.Option(help="DEST of a finished `train pretrain`.", metavar="DEST")
    ] = None,
    workers: Workers = None,
    address: Address = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Second stage: a detector learns to tell fakes; leaves a bundle for `score`.

    The same command again goes on from the newest checkpoint.
    """
    _train("finetune", preset, dest, corpus, start, workers, address, config, assignments, as_json)


@app.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="Show this one.", metavar="PRESET")] = None,
    as_json: Json = False,
) -> None:
    """List the presets, or show one with its command, hardware, duration and numbers."""
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


def _train(
    stage: str,
    preset: str,
    dest: str,
    corpus: list[str] | None,
    start: str | None,
    workers: str | None,
    address: str | None,
    config: ConfigFile,
    assignments: Assignments,
    as_json: bool,
) -> None:
    from mover_ray.pipelines import train as pipeline

    from .progress import format_duration, shown
    from .summary import resumable, resume_command

    options = pipeline.TrainOptions(
        preset=preset,
        dest=dest,
        corpus=tuple(corpus or ()),
        start=start,
        workers=workers,
        address=address,
        command=resume_command(sys.argv),
        settings=pipeline.gather_settings(config, assignments or ()),
    )
    with resumable(), shown() as progress:
        summary = pipeline.train(stage, options, progress)
    if as_json:
        print_json(summary.as_json())
        return
    rows = [[name, f"{value:.4g}"] for name, value in summary.metrics.items()]
    print_table(["best epoch", "value"], rows, numbers=1)
    typer.echo(f"trained in {format_duration(summary.seconds)}: {summary.model}")
