"""`mover-ray doctor`: is this machine fit for the work?"""

from typing import Annotated

import typer

from .options import Json

UNFIT = 2


def doctor(
    dest: Annotated[
        str | None,
        typer.Option(
            "--out", help="Destination to check for space and permission.", metavar="DEST"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check whether this machine is fit for the work.

    Looks at Python, packages, decoder, sandbox, face models, Ray and disk.
    Exits with 2 if a check fails; warnings do not count.
    """
    from mover_ray.operations.doctor import FAIL, examine

    from .console import print_json

    checks = examine(dest)
    if as_json:
        print_json([check.as_json() for check in checks])
    else:
        colours = {"ok": "green", "warn": "yellow", "fail": "red"}
        for check in checks:
            typer.secho(f"{check.level:<5}", fg=colours[check.level], nl=False)
            typer.echo(f"{check.name}: {check.found}")
            if check.hint:
                typer.echo(f"     hint: {check.hint}")
    if any(check.level == FAIL for check in checks):
        raise typer.Exit(UNFIT)
