"""Results of `score` that no detector had to work for, committed and proved like real ones."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from mover_ray.datasets.rows import video_id
from mover_ray.pipelines import attempt as attempts
from mover_ray.pipelines import proof
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.lease import LeaseConfig, hold
from mover_ray.pipelines.parts import write_part
from mover_ray.pipelines.progress import Quiet
from mover_ray.provenance import environment_facts, sha256_bytes
from mover_ray.schemas import MANIFEST, RESULT
from mover_ray.storage import version_text

MODEL_SHA256 = "ab" * 32
IDENTITY = {"command": "score", "model": MODEL_SHA256, "configuration": "0123456789abcdef"}
SIZE_BYTES = 1000
_MILLISECONDS = dict.fromkeys(("fetch_ms", "decode_ms", "faces_ms", "score_ms"), 1.5)


def id_of(uri: str, size_bytes: int = SIZE_BYTES) -> int:
    """The id that a manifest gives a video of which only the size is known."""
    return video_id(uri, version_text(None, None, size_bytes, None))


def mask_png(level: int = 200, side: int = 16) -> bytes:
    """A mask that is `level` in its left half and 0 in the right one."""
    levels = np.zeros((side, side), np.uint8)
    levels[:, : side // 2] = level
    return bytes(cv2.imencode(".png", levels)[1])


def face(
    track_id: int,
    scores: Sequence[float | None],
    *,
    every: int = 2,
    fps: float = 25.0,
    box: Sequence[float] = (180.0, 90.0, 320.0, 260.0),
) -> dict[str, Any]:
    """A face that stands still; `scores` are those of its frames."""
    frames = [
        {"frame_index": n * every, "time_s": n * every / fps, "box": list(box), "score": score}
        for n, score in enumerate(scores)
    ]
    known = [score for score in scores if score is not None]
    return {
        "track_id": track_id,
        "score": float(np.mean(known)) if known else None,
        "first_s": frames[0]["time_s"],
        "last_s": frames[-1]["time_s"],
        "frames": frames,
    }


def mask(track_id: int, frame_index: int, fps: float = 25.0) -> dict[str, Any]:
    return {
        "track_id": track_id,
        "frame_index": frame_index,
        "time_s": frame_index / fps,
        "kind": "trained",
        "box": [150.0, 70.0, 350.0, 270.0],
        "height": 16,
        "width": 16,
        "png": mask_png(),
    }


def scored(uri: str, score: float, **more: Any) -> dict[str, Any]:
    """A row of a video with one face whose most suspicious frames have masks."""
    frames = [score, min(score + 0.01, 1.0), score]
    row = {
        "status": "ok",
        "score": score,
        "logit": 0.5,
        "head_scores": [("a", score), ("b", 0.25)],
        "disagreement": abs(score - 0.25),
        "num_tracks": 1,
        "faces": [face(0, frames)],
        "segments": [{"track_id": 0, "start_s": 0.0, "end_s": 0.2, "score": score}],
        "masks": [mask(0, 2)],
    }
    return {**_base(uri), **row, **more}


def failed(uri: str, status: str, error: str) -> dict[str, Any]:
    empty = dict.fromkeys(("duration_s", "fps", "width", "height", "num_frames"))
    return {**_base(uri), **empty, "status": status, "error": error}


def _base(uri: str) -> dict[str, Any]:
    return {
        "video_id": id_of(uri),
        "uri": uri,
        "size_bytes": SIZE_BYTES,
        "attempts": 1,
        "flags": [],
        "duration_s": 0.5,
        "fps": 25.0,
        "width": 512,
        "height": 384,
        "codec": "h264",
        "num_frames": 12,
        "coverage": 1.0,
        "trained": True,
        "faces": [],
        "segments": [],
        "masks": [],
        "model_id": "made",
        "model_sha256": MODEL_SHA256,
        "config_fingerprint": "0123456789abcdef",
        "run_id": "feed",
        "scored_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "bytes_read": 900,
        **_MILLISECONDS,
    }


def make_results(
    dest: str | Path, parts: Sequence[Sequence[dict[str, Any]]], *, finish: bool = True
) -> str:
    """Commits each list of rows as one part; with `finish` the run is proved."""
    rows = [row for part in parts for row in part]
    with_label = [{name: row.get(name) for name in MANIFEST.names} for row in rows]
    manifest = pa.Table.from_pylist(with_label, schema=MANIFEST)
    destination = Destination(str(dest), "results")
    with hold(destination, LeaseConfig(wait_s=0.0), Quiet()) as lease:
        state = attempts.inspect(destination, manifest, IDENTITY, fresh=False)
        number = attempts.begin(destination, lease, state, IDENTITY)
        for task, part in enumerate(parts):
            write_part(destination, number, task, pa.Table.from_pylist(part, schema=RESULT))
        if finish:
            record = {
                "run_id": "feed",
                "identity": IDENTITY,
                "model": {"model_id": "made", "model_sha256": MODEL_SHA256, "trained": True},
                "manifest_sha256": sha256_bytes(b"manifest"),
                **environment_facts(),
                "engine": "local",
                "resumed": 0,
                "seconds": 2.0,
                "finished_at": "2026-01-02T03:04:05.000Z",
            }
            proof.finish(destination, lease, number, state.accepted, state.manifest, record)
    return str(dest)


def small_run(dest: str | Path) -> str:
    """Four scored videos, one without a face and one that is broken, in three parts."""
    return make_results(
        dest,
        [
            [scored("/a/one.mp4", 0.9, label="fake"), scored("/a/two.mp4", 0.4)],
            [scored("/b/three.mp4", 0.55, label="real"), scored("/b/one.mp4", 0.1)],
            [
                failed("/b/none.mp4", "no_face", "no face in 32 sampled frames"),
                failed("/b/=bad.mp4", "corrupt", "=moov atom not found"),
            ],
        ],
    )
