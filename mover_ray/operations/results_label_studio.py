"""Videos as tasks of Label Studio, with what the model found as predictions."""

from typing import Any, Final
from urllib.parse import quote

from mover_ray.pipelines.results import Row
from mover_ray.schemas import RESULT

#: The interface that tasks and predictions fit; `review import` reads what it gives.
LABELING_CONFIG: Final = """\
<View>
  <Header value="Is a face manipulated? Model score: $score"/>
  <Video name="video" value="$video"/>
  <Choices name="verdict" toName="video" choice="single" showInline="true" required="true">
    <Choice value="real"/>
    <Choice value="fake"/>
    <Choice value="unsure"/>
  </Choices>
  <VideoRectangle name="box" toName="video"/>
  <Labels name="face" toName="video" allowEmpty="true">
    <Label value="face" background="#2f6fb0"/>
  </Labels>
</View>
"""
VERDICT: Final = "verdict"

#: Columns of `schemas.RESULT` that tasks are made of.
TASK_COLUMNS: Final = tuple(name for name in RESULT.names if name != "masks")

#: Nothing better is known of a video whose container does not say.
_NOMINAL_FPS: Final = 25.0


def task(row: Row, base_url: str | None = None) -> dict[str, Any]:
    """Gives a video as a task.

    Args:
        row: A row of results with `faces` and `segments`.
        base_url: Stands before the file's name in the address that the browser opens; without
            it the address is the uri, which a browser opens only where storage is connected.
    """
    data = {
        "video": _address(row["uri"], base_url),
        "video_id": str(row["video_id"]),
        "uri": row["uri"],
        "score": None if row["score"] is None else round(row["score"], 4),
        "status": row["status"],
    }
    return {"data": data, "predictions": [_prediction(row)] if row["score"] is not None else []}


def _prediction(row: Row) -> dict[str, Any]:
    verdict = {
        "from_name": VERDICT,
        "to_name": "video",
        "type": "choices",
        "value": {"choices": ["fake" if row["score"] >= 0.5 else "real"]},
    }
    return {
        "model_version": f"{row['model_id']} {row['model_sha256'][:12]}",
        "score": round(row["score"], 4),
        "result": [verdict, *(_track(face, row) for face in row["faces"])],
    }


def _track(face: dict[str, Any], row: Row) -> dict[str, Any]:
    """Gives a face's path: a box at each frame that was looked at, in per cent of the picture."""
    fps = row["fps"] or _NOMINAL_FPS
    sequence = [
        {
            "frame": frame["frame_index"] + 1,  # Label Studio counts from 1
            "time": frame["time_s"],
            "enabled": True,
            "rotation": 0,
            **_per_cent(frame["box"], row["width"], row["height"]),
        }
        for frame in face["frames"]
    ]
    if sequence:
        sequence[-1]["enabled"] = False  # or the last box would stand to the video's end
    return {
        "id": f"track-{face['track_id']}",
        "from_name": "box",
        "to_name": "video",
        "type": "videorectangle",
        "value": {
            "framesCount": row["num_frames"],
            "duration": row["duration_s"] or row["num_frames"] / fps,
            "labels": ["face"],
            "sequence": sequence,
        },
        **({} if face["score"] is None else {"score": round(face["score"], 4)}),
    }


def _per_cent(box: list[float], width: int, height: int) -> dict[str, float]:
    x0, y0, x1, y1 = box
    sides = {"x": x0 / width, "y": y0 / height}
    sides |= {"width": (x1 - x0) / width, "height": (y1 - y0) / height}
    return {name: round(100 * share, 3) for name, share in sides.items()}


def _address(uri: str, base_url: str | None) -> str:
    if base_url is None:
        return uri
    return f"{base_url.rstrip('/')}/{quote(uri.rpartition('/')[2])}"
