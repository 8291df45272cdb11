"""Videos as a folder that FiftyOne opens as a `FiftyOneVideoLabelsDataset`.

    fiftyone.Dataset.from_dir(FOLDER, fiftyone.types.FiftyOneVideoLabelsDataset)

The videos stay where they are: `manifest.json` names them and, for each, a file of labels.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mover_ray.pipelines.results import Row

_LABELS = "labels"


def write_fiftyone(rows: Iterable[Row], folder: Path) -> int:
    """Writes the folder; gives the number of videos.

    Args:
        rows: Rows of results with `faces`, consumed as a stream.
        folder: Made anew.
    """
    (folder / _LABELS).mkdir(parents=True)
    index = []
    for row in rows:
        name = f"{_LABELS}/{row['video_id']}.json"
        (folder / name).write_text(json.dumps(video_labels(row)), encoding="utf-8")
        index.append({"data": row["uri"], "labels": name})
    manifest = {
        "type": "eta.core.datasets.LabeledVideoDataset",
        "description": "videos scored by mover-ray",
        "index": index,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return len(index)


def video_labels(row: Row) -> dict[str, Any]:
    """Gives a video's labels: score and status of the whole, faces frame by frame."""
    faces = defaultdict(list)
    for face in row["faces"]:
        for frame in face["frames"]:
            faces[frame["frame_index"] + 1].append(_object(face, frame, row))
    return {
        "attrs": {"attrs": _attributes(row)},
        "frames": {
            str(number): {"frame_number": number, "objects": {"objects": objects}}
            for number, objects in sorted(faces.items())
        },
    }


def _attributes(row: Row) -> list[dict[str, Any]]:
    words = {"status": row["status"], "video_id": str(row["video_id"]), "model": row["model_id"]}
    attributes = [
        {"type": "eta.core.data.CategoricalAttribute", "name": name, "value": value}
        for name, value in words.items()
    ]
    if row["score"] is not None:
        kind = "eta.core.data.NumericAttribute"
        attributes.append({"type": kind, "name": "score", "value": row["score"]})
    return attributes


def _object(face: dict[str, Any], frame: dict[str, Any], row: Row) -> dict[str, Any]:
    x0, y0, x1, y1 = frame["box"]
    width, height = row["width"], row["height"]
    said = {
        "label": "face",
        "index": face["track_id"] + 1,
        "bounding_box": {
            "top_left": {"x": x0 / width, "y": y0 / height},
            "bottom_right": {"x": x1 / width, "y": y1 / height},
        },
    }
    return said if frame["score"] is None else {**said, "confidence": frame["score"]}
