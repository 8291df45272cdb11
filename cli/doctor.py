"""`mover-ray doctor`: are this machine, a model, a destination and a cluster fit for the work?"""

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
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="Model bundle to check; may be repeated.", metavar="PATH"),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster of which every node is checked.", metavar="URL"),
    ] = None,
    require_sandbox: Annotated[
        bool, typer.Option("--require-sandbox", help="Fail where no sandbox works.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check whether this machine, and a cluster, are fit for the work.

    Looks at Python, packages, decoder, sandbox, face models, Ray and disk; with
    --out writes and removes a trial object there; with --address asks every node
    for versions, token, TLS, sandbox, GPUs, clock and disk, and tries the jobs API
    without a token. Exits with 2 if a check fails; warnings do not count.
    """
    from mover_ray.operations.doctor import examine
    from mover_ray.operations.doctor_check import FAIL

    from .console import print_json

    checks = examine(dest, models=models or (), address=address, require_sandbox=require_sandbox)
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
