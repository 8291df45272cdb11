"""CPU time and memory of an evaluation over many rows.

    python benchmarks/evaluate.py --json FILE [--rows N] [--faces]

Rows are made up: half of them real, of 2,000 people, in parts of 10,000 rows. Each measurement
has a process of its own, so that its peak memory is its own. `--faces` gives each row 32 frames
of two faces and masks, which an evaluation of videos must not read.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow as pa
from harness import parser, report

from mover_ray.datasets.rows import table_from_columns
from mover_ray.pipelines.destination import Destination, part_name
from mover_ray.pipelines.parts import describe, encode
from mover_ray.schemas import RESULT

_PART_ROWS = 10_000
_PEOPLE = 2_000
_MODEL = "0" * 64
_FRAMES = 32
_MASK_BYTES = 2_000


def main() -> None:
    arguments = _arguments()
    if arguments.measure:
        print(json.dumps(_measure(arguments.measure, arguments.draws)))
        return
    with tempfile.TemporaryDirectory() as folder:
        size = _write(folder, arguments.rows, faces=arguments.faces)
        runs = {f"{draws} draws": _in_child(folder, draws) for draws in (0, 1000)}
    report({"rows": arguments.rows, "results_mib": round(size / 2**20, 1), **runs}, arguments.json)


def _arguments() -> argparse.Namespace:
    arguments = parser(str(__doc__).splitlines()[0])
    arguments.add_argument("--rows", type=int, default=100_000)
    arguments.add_argument("--faces", action="store_true", help="with faces and masks in the rows")
    arguments.add_argument("--measure", help=argparse.SUPPRESS)
    arguments.add_argument("--draws", type=int, default=1000, help=argparse.SUPPRESS)
    return arguments.parse_args()


def _in_child(folder: str, draws: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", folder, "--draws", str(draws)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _measure(folder: str, draws: int) -> dict[str, float]:
    from mover_ray.evaluation.bootstrap import BootstrapConfig
    from mover_ray.operations.evaluate import EvaluateOptions, evaluate

    before, started = _peak_mib(), time.process_time()
    options = EvaluateOptions(results=(folder,), bootstrap=BootstrapConfig(draws=draws))
    lines = evaluate(options).report.lines
    return {
        "lines": len(lines),
        "cpu_s": round(time.process_time() - started, 2),
        "imports_mib": round(before),
        "peak_mib": round(_peak_mib()),
    }


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _write(folder: str, rows: int, *, faces: bool) -> int:
    """Writes made-up results; gives their size in bytes."""
    rng = np.random.default_rng(0)
    fake = rng.random(rows) < 0.5
    manifest = table_from_columns(
        {
            "uri": [f"/archive/{number}.mp4" for number in range(rows)],
            "label": np.where(fake, "fake", "real").tolist(),
            "dataset": ["made"] * rows,
            "method": ["Deepfakes" if one else None for one in fake],
            "split": ["test"] * rows,
            "identity": [f"made/{one}" for one in rng.integers(0, _PEOPLE, rows)],
        }
    )
    destination = Destination(folder, "results")
    destination.write_manifest(manifest)
    identity = {"command": "score", "model": _MODEL, "configuration": "0"}
    destination.write_attempt({"attempt": 1, "run_id": "r", "identity": identity, "accepted": []})
    written = []
    for task, start in enumerate(range(0, rows, _PART_ROWS)):
        part = slice(start, min(start + _PART_ROWS, rows))
        table = _results(manifest["video_id"].to_numpy()[part], fake[part], rng, faces=faces)
        content = encode(table)
        destination.storage.write(destination.part_uri(part_name(1, task)), content)
        written.append(describe(part_name(1, task), content))
    model = {"model_id": "made", "model_sha256": _MODEL, "trained": True}
    files = [one.as_json() for one in written]
    success = {"model": model, "attempt": 1, "total": rows, "files": files}
    destination.write_document(success, "_SUCCESS.json")
    return sum(one.size_bytes for one in written)


def _results(
    ids: np.ndarray, fake: np.ndarray, rng: np.random.Generator, *, faces: bool
) -> pa.Table:
    logits = rng.normal(np.where(fake, 1.0, -1.0))
    scores = 1 / (1 + np.exp(-logits))
    track: list[dict[str, Any]] = []
    masks: list[dict[str, Any]] = []
    if faces:
        box = [0.0, 0.0, 224.0, 224.0]
        frames = [
            {"frame_index": index, "time_s": index / 25, "box": box, "score": 0.5}
            for index in range(_FRAMES)
        ]
        first = {"track_id": 0, "score": 0.5, "first_s": 0.0, "last_s": 1.0, "frames": frames}
        track = [first, {**first, "track_id": 1}]
        place = {"track_id": 0, "frame_index": 0, "time_s": 0.0, "kind": "trained", "box": box}
        size = {"height": 224, "width": 224}
        masks = [{**place, **size, "png": rng.bytes(_MASK_BYTES)} for _ in range(3)]
    constant = {
        "status": "ok",
        "attempts": 1,
        "flags": [],
        "trained": True,
        "num_tracks": 1,
        "coverage": 1.0,
        "faces": track,
        "segments": [],
        "masks": masks,
        "model_id": "made",
        "model_sha256": _MODEL,
        "config_fingerprint": "0",
        "run_id": "r",
        "scored_at": 0,
    }
    own = {"video_id": ids, "uri": ids.astype(str), "score": scores, "logit": logits}
    columns = [
        pa.array(own[field.name]).cast(field.type)
        if field.name in own
        else pa.array([constant.get(field.name)] * len(ids), field.type)
        for field in RESULT
    ]
    return pa.Table.from_arrays(columns, schema=RESULT)


if __name__ == "__main__":
    main()
