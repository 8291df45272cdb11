"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Source = Annotated[
    str,
    typer.Argument(
        help="Folder, file, s3:// prefix, manifest (CSV or Parquet), or manifest.json of an"
        " S3 Inventory.",
        metavar="SOURCE",
    ),
]
Sources = Annotated[
    list[str],
    typer.Argument(
        help="Folders, files, s3:// prefixes, manifests (CSV or Parquet), or manifest.json"
        " of S3 Inventories.",
        metavar="SOURCE...",
    ),
]
Dest = Annotated[
    str, typer.Option("--out", help="Folder or s3:// prefix for the result.", metavar="DEST")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="TOML file with settings.", metavar="FILE")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, such as pipeline.videos_per_block=4.", metavar="K=V"),
]
Include = Annotated[list[str] | None, typer.Option(help="Only files that match.", metavar="GLOB")]
Exclude = Annotated[list[str] | None, typer.Option(help="No files that match.", metavar="GLOB")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most N videos.", metavar="N")]
Sample = Annotated[
    str | None, typer.Option(help="A random share of the videos, such as 1%.", metavar="SHARE")
]
Since = Annotated[
    list[str] | None,
    typer.Option(
        help="Only what is new or changed since the finished run at DEST; repeatable.",
        metavar="DEST",
    ),
]
Retry = Annotated[
    str | None,
    typer.Option(
        help="Statuses to process again, with commas; `none` for none."
        " By default fetch_error, timeout, access_denied, out_of_memory.",
        metavar="STATUS,...",
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Discard what DEST holds and start anew.")]
MaxFailed = Annotated[
    int | None, typer.Option(min=0, help="Exit with 4 if more videos failed.", metavar="N")
]
Engine = Annotated[
    Literal["auto", "local", "ray"],
    typer.Option(help="Where to work: in this process, or on Ray."),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Ray cluster: auto or ray://host:10001 joins it, http(s)://host:8265 submits a job.",
        metavar="URL",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        help="Settings under [profile.NAME] of mover-ray.toml.",
        envvar="MOVER_RAY_PROFILE",
        show_envvar=False,
        metavar="NAME",
    ),
]
RequireSandbox = Annotated[
    bool,
    typer.Option("--require-sandbox", help="Refuse to decode where no sandbox works."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, from a sampled probe.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def split_commas(text: str | None) -> tuple[str, ...] | None:
    """Gives the words of a comma-separated option; `none` gives none of them."""
    if text is None:
        return None
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    return () if words == ("none",) else words
