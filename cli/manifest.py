"""`mover-ray manifest`: the list of videos that a run starts from."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Exclude, Include, Json, Limit, Sample, Source

if TYPE_CHECKING:
    from mover_ray.datasets.manifest import ManifestSummary

app = typer.Typer(
    help="Builds and shows manifests: lists of videos.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def build(
    source: Source,
    out: Annotated[
        str, typer.Option(help="Parquet file or s3:// object to write.", metavar="FILE")
    ],
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    sample: Sample = None,
    as_json: Json = False,
) -> None:
    """List the videos of SOURCE in a file.

    Proves that their ids are unique and says what was passed over.
    """
    from mover_ray.datasets import manifest
    from mover_ray.storage import normalise

    built = manifest.build(
        source,
        include=include or (),
        exclude=exclude or (),
        limit=limit,
        sample=None if sample is None else manifest.parse_sample(sample),
    )
    manifest.write(normalise(out), built.table)
    _show(manifest.summarise(built.table, built.passed_over), as_json=as_json)


@app.command()
def show(
    path: Annotated[str, typer.Argument(help="A manifest.", metavar="MANIFEST")],
    as_json: Json = False,
) -> None:
    """Count what a manifest holds."""
    from mover_ray.datasets import manifest
    from mover_ray.storage import normalise

    _show(manifest.summarise(manifest.read(normalise(path))), as_json=as_json)


def _show(summary: "ManifestSummary", *, as_json: bool) -> None:
    from .console import print_json, print_table

    if as_json:
        print_json(asdict(summary))
        return
    rows = [
        ["videos", "", f"{summary.videos:,}"],
        ["GiB", "", f"{summary.size_bytes / (1 << 30):.3f}"],
        ["not found", "", f"{summary.unknown_size:,}"],
    ]
    for title, counts in [
        ("suffix", summary.by_suffix),
        ("label", summary.by_label),
        ("dataset", summary.by_dataset),
        ("passed over", summary.passed_over),
    ]:
        rows += [[title, name or "none", f"{count:,}"] for name, count in counts.items()]
    print_table(["what", "", "number"], rows, numbers=1)
