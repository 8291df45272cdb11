"""`mover-ray forget`: takes a video out of what was stored of it."""

import sys
from typing import Annotated

import typer

from mover_ray.errors import ConfigError

from .console import print_json, print_note
from .options import Json


def forget(
    video: Annotated[str, typer.Argument(help="Its id, uri or file name.", metavar="VIDEO")],
    dest: Annotated[
        str, typer.Argument(help="Destination of `score` or `extract`.", metavar="DEST")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a video's row, masks and crops, and prove the rest anew.

    The video itself stays where it is: a later scan of its source finds it again.
    """
    from mover_ray.operations.forget import forget as operation

    from .progress import shown

    if not yes:
        _ask(video, dest)
    with shown() as progress:
        found = operation(dest, video, progress)
    if as_json:
        print_json(found.as_json())
        return
    typer.echo(
        f"removed: {found.rows} rows, {found.masks} masks, {found.crops} crops,"
        f" {found.leftovers} older files; the rest is proved"
    )
    if found.versioned:
        print_note("a bucket with versions keeps what was there before until they expire")
    print_note("reports, exports and overlays that were made before still show the video")


def _ask(video: str, dest: str) -> None:
    """Goes on if a person at a terminal says yes."""
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to be asked", hint="give --yes to remove for good")
    try:
        typer.confirm(f"Remove `{video}` from {dest} for good?", abort=True, err=True)
    except typer.Abort:
        raise typer.Exit(1) from None
