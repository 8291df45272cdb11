"""`mover-ray manifest`: the list of videos that a run starts from."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .options import Exclude, Include, Json, Limit, Sample, Sources

if TYPE_CHECKING:
    from mover_ray.datasets.corpus import Corpus
    from mover_ray.datasets.manifest import ManifestSummary

app = typer.Typer(
    help="Builds and shows manifests: lists of videos.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def build(
    sources: Sources,
    out: Annotated[
        str, typer.Option(help="Parquet file or s3:// object to write.", metavar="FILE")
    ],
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    sample: Sample = None,
    as_json: Json = False,
) -> None:
    """List the videos of every SOURCE in one file.

    Proves that their ids are unique and says what was passed over.
    """
    from mover_ray.datasets import manifest
    from mover_ray.storage import normalise

    built = manifest.build(
        *sources,
        include=include or (),
        exclude=exclude or (),
        limit=limit,
        sample=None if sample is None else manifest.parse_sample(sample),
    )
    manifest.write(normalise(out), built.table)
    _show(manifest.summarise(built), as_json=as_json)


@app.command()
def show(
    path: Annotated[str, typer.Argument(help="A manifest.", metavar="MANIFEST")],
    as_json: Json = False,
) -> None:
    """Count what a manifest holds."""
    from mover_ray.datasets import manifest
    from mover_ray.storage import normalise

    built = manifest.BuiltManifest(manifest.read(normalise(path)))
    _show(manifest.summarise(built), as_json=as_json)


@app.command()
def dataset(
    name: Annotated[
        str, typer.Argument(help="A public dataset, such as faceforensics.", metavar="NAME")
    ],
    root: Annotated[str, typer.Argument(help="Its folder or s3:// prefix.", metavar="ROOT")],
    out: Annotated[
        str, typer.Option(help="Parquet file or s3:// object to write.", metavar="FILE")
    ],
    compression: Annotated[
        Literal["raw", "c23", "c40"] | None,
        typer.Option(help="Which one of FaceForensics++, if several are there."),
    ] = None,
    reals: Annotated[
        str | None,
        typer.Option(
            help="FaceForensics++ folder with the real videos of deeperforensics.", metavar="ROOT"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List a public dataset as it lies on disk or in S3.

    Labels, splits and pairs come from its own metadata. Says what is missing.
    NAME is celebdf-v1, celebdf-v2, celebdf-pp, deeperforensics, dfd, dfdc, dfdcp,
    faceforensics or wilddeepfake.
    """
    from mover_ray.datasets import manifest
    from mover_ray.datasets.catalog import read_dataset
    from mover_ray.storage import normalise

    corpus = read_dataset(name, root, compression=compression, reals=reals)
    table = corpus.table()
    manifest.check_unique(table)
    manifest.write(normalise(out), table)
    _show_corpus(corpus, as_json=as_json)


_NAMES_SHOWN = 5


def _show_corpus(corpus: "Corpus", *, as_json: bool) -> None:
    from .console import print_json, print_note, print_table

    counts = corpus.counts()
    if as_json:
        print_json(
            {
                "dataset": corpus.dataset,
                "videos": len(corpus.videos),
                "counts": [count.as_json() for count in counts],
                "missing": corpus.missing,
                "unlisted": corpus.unlisted,
                "remarks": corpus.remarks,
            }
        )
        return
    rows = [
        [
            count.expected.split or "all",
            count.expected.label,
            count.expected.method or "",
            f"{count.expected.count:,}" if count.promised else "?",
            f"{count.found:,}",
        ]
        for count in counts
    ]
    print_table(["split", "label", "method", "expected", "found"], rows, numbers=2)
    for what, names in (("missing", corpus.missing), ("not in the lists", corpus.unlisted)):
        if names:
            some = ", ".join(names[:_NAMES_SHOWN])
            print_note(f"{len(names):,} {what}: {some}{', …' if len(names) > _NAMES_SHOWN else ''}")
    for remark in corpus.remarks:
        print_note(remark)


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
    if summary.archived:
        rows.append(["in an archive class", "", f"{summary.archived:,}"])
    for title, counts in [
        ("suffix", summary.by_suffix),
        ("label", summary.by_label),
        ("dataset", summary.by_dataset),
        ("passed over", summary.passed_over),
    ]:
        rows += [[title, name or "none", f"{count:,}"] for name, count in counts.items()]
    print_table(["what", "", "number"], rows, numbers=1)
