"""A made-up output of `extract`: waves for faces, fakes with a bright patch for a mouth."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mover_ray.schemas import EXTRACT
from mover_ray.training.corpus import Corpus
from mover_ray.training.corpus_cache import build
from tests.models.samples import faces, landmarks

SIZE_PX = 64
MOUTH = (slice(40, 56), slice(16, 48))


@dataclass(frozen=True, kw_only=True)
class Made:
    """One video of the corpus."""

    name: str
    label: str | None = "real"
    method: str | None = None
    source: str | None = None
    pair: str | None = None
    identity: str | None = None
    split: str | None = "train"
    crops: int = 4
    tracks: int = 1
    masks: bool = False


def usual(sources: int = 6, methods: Sequence[str] = ("one", "two"), crops: int = 4) -> list[Made]:
    """Real videos, each with a fake of every method; the last third is for validation."""
    videos = []
    for number in range(sources):
        split = "train" if 3 * number < 2 * sources else "val"
        common: dict[str, Any] = {"source": f"s{number}", "split": split, "crops": crops}
        videos.append(Made(name=f"r{number}", identity=f"p{number}", **common))
        videos += [
            Made(name=f"f{number}{method}", label="fake", method=method, **common)
            for method in methods
        ]
    return videos


def write_extract(
    folder: Path, videos: Sequence[Made], size_px: int = SIZE_PX, **policy: Any
) -> Path:
    """Writes a finished destination of `extract`, two files of it."""
    (folder / "crops").mkdir(parents=True)
    files = []
    for number in range(2):
        rows = [_row(video, i, size_px) for i, video in enumerate(videos) if i % 2 == number]
        path = folder / "crops" / f"00001-{number:06d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, _schema(size_px, policy)), path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append({"name": path.name, "rows": len(rows), "sha256": sha256})
    (folder / "_SUCCESS.json").write_text(json.dumps({"files": files}))
    return folder


def make_corpus(folder: Path, videos: Sequence[Made], size_px: int = SIZE_PX) -> Corpus:
    """Writes an extract and gives the corpus of it."""
    return build([str(write_extract(folder / "extract", videos, size_px))], folder / "corpus")


def picture(video: Made, number: int, size_px: int) -> np.ndarray:
    """Gives the crop before compression."""
    key = int.from_bytes(hashlib.sha256((video.source or video.name).encode()).digest()[:2], "big")
    rgb = faces(size_px, 1)[0].permute(1, 2, 0).numpy().copy()
    rgb = np.roll(rgb, (key % size_px, number), axis=(0, 1))
    if video.label == "fake":
        scale = size_px / SIZE_PX
        rows, columns = (slice(int(s.start * scale), int(s.stop * scale)) for s in MOUTH)
        rgb[rows, columns] = 255 - rgb[rows, columns] // 4
    return rgb


def _schema(size_px: int, policy: dict[str, Any]) -> pa.Schema:
    return EXTRACT.with_metadata({"mover_ray.faces": json.dumps({"size_px": size_px, **policy})})


def _row(video: Made, number: int, size_px: int) -> dict:
    return {
        "video_id": number,
        "uri": f"/archive/{video.name}.mp4",
        "label": video.label,
        "dataset": "made",
        "method": video.method,
        "split": video.split,
        "identity": video.identity,
        "source_id": video.source,
        "pair_uri": video.pair,
        "status": "ok",
        "attempts": 1,
        "flags": [],
        "crops": [
            _crop(video, track, frame, size_px)
            for track in range(video.tracks)
            for frame in range(video.crops)
        ],
    }


def _crop(video: Made, track: int, frame: int, size_px: int) -> dict:
    bgr = cv2.cvtColor(picture(video, frame, size_px), cv2.COLOR_RGB2BGR)
    mask = np.zeros((size_px, size_px), np.uint8)
    mask[MOUTH] = 255
    png = cv2.imencode(".png", mask)[1].tobytes()
    return {
        "track_id": track,
        "frame_index": 10 * frame,
        "time_s": 0.4 * frame,
        "box": [0.0, 0.0, 1.0, 1.0],
        "affine": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "jpeg": cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes(),
        "landmarks": landmarks(size_px, 1)[0].tolist(),
        "part_boxes": [],
        "quality": 1.0,
        "mask": png if video.masks and video.label == "fake" else None,
    }
