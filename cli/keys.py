"""`mover-ray keys`: who may use the service."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from .console import print_json, print_note, print_table
from .options import Json, split_commas

app = typer.Typer(
    help="Looks after the service's API keys.", no_args_is_help=True, rich_markup_mode=None
)

KeysFile = Annotated[
    Path | None,
    typer.Option("--keys", help="File of keys; one in the user's folder without.", metavar="FILE"),
]


@app.callback()
def _group() -> None:
    """Look after the service's API keys."""


@app.command()
def create(
    name: Annotated[
        str, typer.Argument(help="The tenant that the key speaks for.", metavar="NAME")
    ],
    scopes: Annotated[
        str,
        typer.Option(
            help="What it allows, with commas: score, scan, results, admin.", metavar="SCOPE,..."
        ),
    ],
    days: Annotated[
        int | None, typer.Option(min=1, help="It ends after N days.", metavar="N")
    ] = None,
    keys: KeysFile = None,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    from mover_ray.serving import keys as store

    lifetime = None if days is None else timedelta(days=days)
    path = keys or store.default_file()
    text, key = store.create(path, name, split_commas(scopes) or (), lifetime)
    typer.echo(text)
    print_note(f"key `{key.key_id}` is in {path}; it cannot be shown again")


@app.command("list")
def list_keys(keys: KeysFile = None, as_json: Json = False) -> None:
    """Show the keys, but not their secrets."""
    from mover_ray.serving import keys as store

    found = store.read(keys or store.default_file())
    if as_json:
        print_json([key.as_json() for key in found])
        return
    header = ["key", "tenant", "scopes", "made", "state"]
    print_table(
        header,
        [
            [key.key_id, key.name, ",".join(key.scopes), key.created_at[:10], key.state]
            for key in found
        ],
    )


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.", metavar="KEY")],
    keys: KeysFile = None,
) -> None:
    """End a key; services that run refuse it from the next request on."""
    from mover_ray.serving import keys as store

    key = store.revoke(keys or store.default_file(), key_id)
    print_note(f"key `{key.key_id}` of `{key.name}` is revoked")
