"""Results as a finished run leaves them, with scores that the test chooses."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mover_ray.datasets.rows import table_from_columns
from mover_ray.pipelines.destination import Destination, part_name
from mover_ray.pipelines.parts import describe, encode
from mover_ray.schemas import MANIFEST, RESULT

Row = Mapping[str, Any]
MODEL = "a" * 64


def video(name: str, label: str | None, score: float | None, **more: Any) -> Row:
    """Gives a video: what the manifest and the result say of it."""
    logit = None if score is None else float(np.log(score / (1 - score)))
    status = "no_face" if score is None else "ok"
    known = {"uri": f"/archive/{name}.mp4", "label": label, "dataset": "toy", "split": "test"}
    found = {"score": score, "logit": logit, "status": status, "num_tracks": 1, "coverage": 1.0}
    return {**known, **found, **more}


def videos(reals: int, fakes: int, *, seed: int = 0, prefix: str = "", **more: Any) -> list[Row]:
    """Gives videos whose logits lie around -1 (real) and 1 (fake), with a spread of 1."""
    rng = np.random.default_rng(seed)
    rows = []
    for label, count, centre in (("real", reals, -1.0), ("fake", fakes, 1.0)):
        for number, logit in enumerate(rng.normal(centre, 1.0, count)):
            name = f"{prefix}{label}{number}"
            rows.append(video(name, label, float(1 / (1 + np.exp(-logit))), **more))
    return rows


def write_results(
    dest: str | Path,
    rows: Sequence[Row],
    *,
    model: str = MODEL,
    finished: bool = True,
    parts: int = 2,
) -> str:
    """Writes rows as the results of one attempt; gives the destination."""
    destination = Destination(str(dest), "results")
    manifest = manifest_of(rows)
    table = result_table(manifest, rows, model)
    identity = {"command": "score", "model": model, "configuration": "0"}
    destination.write_manifest(manifest)
    destination.write_attempt({"attempt": 1, "run_id": "run", "identity": identity, "accepted": []})
    written = []
    for task in range(parts):
        content = encode(table.take(pa.array(range(task, len(rows), parts), pa.int64())))
        name = part_name(1, task)
        destination.storage.write(destination.part_uri(name), content)
        written.append(describe(name, content))
    if finished:
        facts = {"model": {"model_id": "toy", "model_sha256": model, "trained": True}}
        files = [part.as_json() for part in written]
        destination.write_document(
            {**facts, "attempt": 1, "total": len(rows), "files": files}, "_SUCCESS.json"
        )
    return str(dest)


def manifest_of(rows: Sequence[Row]) -> pa.Table:
    """Gives the manifest of videos."""
    columns = {field.name: [row.get(field.name) for row in rows] for field in MANIFEST}
    return table_from_columns({**columns, "size_bytes": [1] * len(rows)})


def result_table(manifest: pa.Table, rows: Sequence[Row], model: str) -> pa.Table:
    """Gives results in the schema of the contract."""
    constant = {
        "attempts": 1, "flags": [], "trained": True, "faces": [], "segments": [], "masks": [],
        "model_id": "toy", "model_sha256": model, "config_fingerprint": "0", "run_id": "run",
        "scored_at": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    ids = manifest["video_id"].to_pylist()
    known = {field.name for field in RESULT}
    full = [
        {**constant, **{k: v for k, v in row.items() if k in known}, "video_id": one}
        for one, row in zip(ids, rows, strict=True)
    ]
    return pa.Table.from_pylist(full, schema=RESULT)
