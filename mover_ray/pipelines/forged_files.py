"""What a corpus holds beside its videos: who is who, splits, manifest; and that it is whole."""

import io
import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from mover_ray.datasets import manifest as manifests
from mover_ray.datasets.rows import table_from_columns
from mover_ray.errors import LocationError
from mover_ray.forge.corpus import FAKES, ORIGINALS, Layout, Original
from mover_ray.pipelines.destination import ORPHANS_FOLDER, Destination
from mover_ray.pipelines.parts import encode, read_table
from mover_ray.pipelines.proof import IncompleteError
from mover_ray.schemas import MANIFEST, SURVEY
from mover_ray.stages.base import Row
from mover_ray.status import Status
from mover_ray.storage import ObjectInfo, join, relative_name, storage_for

#: Where the rows of a corpus lie.
FOLDER = "files"

_MANIFEST = "manifest.parquet"
_SOURCES = "sources.parquet"
_PLACES = [
    pa.field("number", pa.string(), nullable=False),
    pa.field("person", pa.string(), nullable=False),
    pa.field("side", pa.string(), nullable=False),
    pa.field("partner", pa.string()),
]


def check_unclaimed(destination: Destination) -> None:
    """Refuses a folder with a corpus that no run of `forge` has made.

    Raises:
        LocationError: It holds such a corpus.
    """
    if destination.last_attempt_number():
        return
    for folder in (ORIGINALS, FAKES):
        if next(iter(destination.storage.list(destination.uri(folder))), None) is not None:
            raise LocationError(
                f"the destination holds another corpus: `{destination.uri(folder)}`",
                hint="name a new folder with --out",
            )


def rows_in_order(destination: Destination) -> list[Row]:
    """Gives the rows of a finished run in the order of its manifest."""
    manifest = destination.read_manifest()
    rows = {row["video_id"]: row for row in _rows(destination)}
    ids = [] if manifest is None else manifest["video_id"].to_pylist()
    return [rows[video_id] for video_id in ids]


def write_sources(base: str, originals: Sequence[Original], partners: Mapping[str, str]) -> None:
    """Writes `sources.parquet`: a row of `schemas.SURVEY` for each original, and its place."""
    rows = [
        {
            **one.source,
            "number": one.number,
            "person": one.identity,
            "side": one.split,
            "partner": partners.get(one.number),
        }
        for one in originals
    ]
    table = pa.Table.from_pylist(rows, schema=pa.schema([*_PLACES, *SURVEY]))
    storage_for(base).write(join(base, _SOURCES), encode(table))


def read_sources(base: str) -> dict[str, Row]:
    """Gives the rows of `sources.parquet` by number."""
    data = storage_for(base).read(join(base, _SOURCES))
    return {row["number"]: row for row in pq.read_table(io.BytesIO(data)).to_pylist()}


def write_splits(layout: Layout, lists: Mapping[str, list[list[str]]]) -> None:
    """Writes `splits/*.json`."""
    for name, pairs in lists.items():
        storage_for(layout.base).write(layout.split(name), json.dumps(pairs).encode())


def finish(destination: Destination) -> None:
    """Writes the corpus's manifest; files that it does not name are set aside.

    Raises:
        IncompleteError: A file is missing, or not as long as it was written.
    """
    rows = [row for row in rows_in_order(destination) if row["status"] == Status.OK]
    found = {
        info.uri: info
        for folder in (ORIGINALS, FAKES)
        for info in destination.storage.list(destination.uri(folder))
    }
    for row in rows:
        _require(row["uri"], row["size_bytes"], found)
        if row["mask_uri"]:
            _require(row["mask_uri"], None, found)
    named = {uri for row in rows for uri in (row["uri"], row["mask_uri"])}
    for uri in sorted(found.keys() - named):
        aside = destination.uri(ORPHANS_FOLDER, relative_name(uri, destination.base))
        destination.storage.move(uri, aside)
    manifests.write(destination.uri(_MANIFEST), _manifest(rows, found))


def _rows(destination: Destination) -> list[Row]:
    names = destination.counting_parts()
    return [row for name in names for row in read_table(destination, name).to_pylist()]


def _require(uri: str, size_bytes: int | None, found: Mapping[str, ObjectInfo]) -> None:
    info = found.get(uri)
    if info is None or size_bytes not in (None, info.size_bytes):
        what = "missing" if info is None else f"altered ({info.size_bytes}, not {size_bytes} bytes)"
        raise IncompleteError(
            f"a file of the corpus is {what}: `{uri}`", hint="--fresh makes all of them anew"
        )


def _manifest(rows: Sequence[Row], found: Mapping[str, ObjectInfo]) -> pa.Table:
    """Gives the manifest of the files with what their store says of them now."""
    columns = {name: [row[name] for row in rows] for name in MANIFEST.names}
    for name in ("etag", "size_bytes", "mtime_ns"):
        columns[name] = [getattr(found[row["uri"]], name) for row in rows]
    return table_from_columns(columns)
