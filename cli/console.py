"""What the commands print: data to stdout, everything else to stderr."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import typer

_WIDE = 10_000


def print_json(document: Any) -> None:
    """Prints the one document of a command that was asked for `--json`."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_error(message: str, *, hint: str | None = None) -> None:
    """Prints an error, and on a line of its own what to do about it."""
    sys.stdout.flush()
    typer.secho("error: ", nl=False, err=True, fg="red", bold=True)
    typer.echo(message, err=True)
    if hint:
        print_hint(hint)


def print_hint(hint: str) -> None:
    """Prints what the user can do next."""
    typer.secho("hint: ", nl=False, err=True, fg="cyan", bold=True)
    typer.echo(hint, err=True)


def print_note(note: str) -> None:
    """Prints something worth knowing that is no error."""
    typer.secho("note: ", nl=False, err=True, fg="yellow", bold=True)
    typer.echo(note, err=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> None:
    """Prints a table to stdout; nothing is cut off where stdout is no terminal.

    Args:
        header: Titles of the columns.
        rows: Cells, as many as there are titles.
        numbers: How many of the last columns are aligned to the right.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, title in enumerate(header):
        right = index >= len(header) - numbers
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)
