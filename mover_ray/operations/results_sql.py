"""`results sql`: DuckDB over a run's rows, their lists unnested into views.

| view | one row for each |
|---|---|
| `videos` | video: every column but the lists, and `name`, the file name |
| `faces` | track of a face: `track_id, score, first_s, last_s, num_frames` |
| `frames` | face in a sampled frame: `track_id, frame_index, time_s, x0, y0, x1, y1, score` |
| `segments` | scored stretch of a track: `track_id, start_s, end_s, score` |
| `masks` | mask: `track_id, frame_index, time_s, kind, x0, y0, x1, y1, height, width, png` |
| `manifest` | video of the manifest: `label, dataset, identity` and all else it says |
| `results` | video: the rows as they are stored |

All carry `video_id`, by which they are joined. A view reads the columns that a query uses.
"""

from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow.fs import LocalFileSystem

from mover_ray.errors import ConfigError
from mover_ray.operations.json_values import plain_rows
from mover_ray.pipelines.destination import attempt_of
from mover_ray.pipelines.results import Results
from mover_ray.schemas import RESULT
from mover_ray.storage import uri_to_path

_VIEWS = {
    "videos": """
        SELECT * EXCLUDE (faces, segments, masks),
               regexp_extract(uri, '[^/]*$') AS name
        FROM results""",
    "faces": """
        SELECT video_id, face.* EXCLUDE (frames), len(face.frames) AS num_frames
        FROM (SELECT video_id, unnest(faces) AS face FROM results)""",
    "frames": """
        SELECT video_id, track_id, frame.frame_index, frame.time_s,
               frame.box[1] AS x0, frame.box[2] AS y0, frame.box[3] AS x1, frame.box[4] AS y1,
               frame.score
        FROM (SELECT video_id, face.track_id, unnest(face.frames) AS frame
              FROM (SELECT video_id, unnest(faces) AS face FROM results))""",
    "segments": """
        SELECT video_id, segment.*
        FROM (SELECT video_id, unnest(segments) AS segment FROM results)""",
    "masks": """
        SELECT video_id, mask.track_id, mask.frame_index, mask.time_s, mask.kind,
               mask.box[1] AS x0, mask.box[2] AS y0, mask.box[3] AS x1, mask.box[4] AS y1,
               mask.height, mask.width, mask.png
        FROM (SELECT video_id, unnest(masks) AS mask FROM results)""",
}

#: Of a video with rows of several attempts, the latest one's counts.
_LATEST = """
    SELECT * EXCLUDE (attempt) FROM stored
    QUALIFY row_number() OVER (PARTITION BY video_id ORDER BY attempt DESC) = 1"""
_ALL = "SELECT * EXCLUDE (attempt) FROM stored"

# What a query needs must be there: nothing is fetched from the network behind the user's back.
_SETTINGS: dict[str, Any] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave."""

    columns: list[str]
    """Names, in the order of the query."""
    rows: list[dict[str, Any]]
    """Values that JSON can hold: ids as strings, times as text, bytes as their number."""


def query(results: Results, sql: str) -> Answer:
    """Answers a query over the views of a run.

    Args:
        results: The run.
        sql: One or several statements in DuckDB's dialect; the last one answers.

    Raises:
        ConfigError: DuckDB refuses the query.
    """
    with connect(results) as connection:
        try:
            found: duckdb.DuckDBPyRelation | None = connection.sql(sql)
            # A statement such as COPY or CREATE gives nothing.
            table = pa.table({}) if found is None else found.to_arrow_table()
        except duckdb.Error as error:
            raise ConfigError(
                f"the query cannot be answered: {_first_line(error)}",
                hint="the views are results, manifest, " + ", ".join(_VIEWS),
            ) from error
    return Answer(list(table.column_names), plain_rows(table))


def connect(results: Results) -> duckdb.DuckDBPyConnection:
    """Gives a database in memory with the views of a run; close it after use."""
    connection = duckdb.connect(config=_SETTINGS)
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("stored", _dataset(results))
    several = len({attempt_of(name) for name in results.parts}) > 1
    stored = _LATEST if several and not results.finished else _ALL
    for name, select in {"results": stored, **_VIEWS}.items():
        connection.execute(f"CREATE VIEW {name} AS {select}")
    manifest = results.destination.read_manifest()
    if manifest is not None:
        connection.register("manifest", manifest)
    return connection


def _dataset(results: Results) -> ds.Dataset:
    """Gives the parts that count as one data set with a column `attempt`."""
    schema = RESULT.append(pa.field("attempt", pa.int64()))
    parquet = ds.ParquetFileFormat()
    destination = results.destination
    fragments = []
    for name in results.parts:
        attempt = ds.field("attempt") == attempt_of(name)
        # Of a local part the path: ten thousand open files are too many.
        part, where = (
            (str(uri_to_path(destination.part_uri(name))), LocalFileSystem())
            if destination.storage.is_local
            else (destination.open_part(name), None)
        )
        fragments.append(parquet.make_fragment(part, where, attempt))
    return ds.FileSystemDataset(fragments, schema, parquet)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
