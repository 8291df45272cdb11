"""A finished run whose rows say how long each video took."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mover_ray.schemas import RESULT


def write_run(folder: Path) -> None:
    """Writes two parts: a video of the first is half as fast as one of the second."""
    names = ["00001-000000.parquet", "00001-000001.parquet"]
    (folder / "results").mkdir()
    for name, times in zip(names, (80.0, 40.0), strict=True):
        row = {
            "video_id": int(times), "uri": "a", "status": "ok", "attempts": 1, "flags": [],
            "fetch_ms": times, "decode_ms": 4 * times, "faces_ms": 5 * times, "score_ms": 200.0,
            "bytes_read": 500,
        }  # fmt: skip
        schema = pa.schema([RESULT.field(key).with_nullable(nullable=True) for key in row])
        pq.write_table(pa.Table.from_pylist([row], schema=schema), folder / "results" / name)
    document = {"attempt": 1, "total": 2, "files": [{"name": name} for name in names]}
    (folder / "_SUCCESS.json").write_text(json.dumps(document))
