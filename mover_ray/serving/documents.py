"""Result rows as JSON, and the models that describe them in the OpenAPI document."""

import base64
import math
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from mover_ray.serving.videos import UPLOAD
from mover_ray.stages.base import Row
from mover_ray.status import Status

#: Columns of a result that are shown as they are.
_PLAIN: Final = (
    "status", "error", "flags", "attempts", "score", "logit", "disagreement", "trained",
    "num_tracks", "faces", "segments", "duration_s", "fps", "width", "height", "codec",
    "num_frames", "coverage", "max_gap_s", "size_bytes", "sha256", "version_id", "etag",
    "model_id", "model_sha256", "config_fingerprint", "run_id", "fetch_ms", "decode_ms",
    "faces_ms", "score_ms", "bytes_read",
)  # fmt: skip

_EXAMPLE: Final[dict[str, JsonValue]] = {
    "video_id": "4611686018427387904",
    "uri": None,
    "status": "ok",
    "score": 0.93,
    "faces": [
        {
            "track_id": 0,
            "score": 0.93,
            "first_s": 0.0,
            "last_s": 2.9,
            "frames": [{"frame_index": 0, "time_s": 0.0, "box": [100, 80, 220, 230], "score": 0.9}],
        }
    ],
    "segments": [{"track_id": 0, "start_s": 0.0, "end_s": 0.0, "score": 0.9}],
    "masks": [],
    "model_id": "mover-s",
}


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Problem(_Open):
    """RFC 9457: why a request was not answered."""

    type: str = Field(examples=["urn:mover-ray:problem:unauthorized"])
    title: str
    status: int
    code: str = Field(description="A word that programs go by.")
    detail: str


class FaceFrame(_Open):
    """A face in one sampled frame."""

    frame_index: int
    time_s: float
    box: list[float] = Field(description="x0, y0, x1, y1 in pixels of the displayed frame.")
    score: float | None


class Face(_Open):
    """One face through the video."""

    track_id: int
    score: float | None
    first_s: float
    last_s: float
    frames: list[FaceFrame]


class Segment(_Open):
    """A stretch of one face."""

    track_id: int
    start_s: float
    end_s: float
    score: float


class Mask(_Open):
    """Where one face seems manipulated: an 8-bit gray PNG that lies over `box`."""

    track_id: int
    frame_index: int
    time_s: float
    kind: str = Field(description="`trained`, `residual` or `attention`.")
    box: list[float]
    height: int
    width: int
    png: str | None = Field(default=None, description="Base64, in answers of `/v1/score`.")
    href: str | None = Field(default=None, description="Where the PNG is, in `/v1/results`.")


class VideoResult(_Open):
    """One video's result, as a run of `mover-ray score` writes it."""

    model_config = ConfigDict(
        extra="allow", protected_namespaces=(), json_schema_extra={"examples": [_EXAMPLE]}
    )

    video_id: str = Field(description="A number of 63 bits; a string, as JavaScript has 53.")
    uri: str | None = Field(description="Null for uploads.")
    status: Status = Field(description="Only `ok` has a score; other videos say why in `error`.")
    score: float | None = Field(description="Probability that a face was manipulated, 0 to 1.")
    error: str | None = None
    faces: list[Face]
    segments: list[Segment]
    masks: list[Mask]
    model_id: str


def result_document(row: Row) -> dict[str, Any]:
    """Gives a row of results as JSON values; masks, if there are any, as Base64."""
    document = {name: _finite(row.get(name)) for name in _PLAIN}
    scored_at = row.get("scored_at")
    return {
        "video_id": str(row["video_id"]),
        "uri": None if row["uri"] == UPLOAD else row["uri"],
        **document,
        "head_scores": dict(row.get("head_scores") or ()),
        "scored_at": scored_at.isoformat() if isinstance(scored_at, datetime) else None,
        "masks": [_mask_document(mask) for mask in row.get("masks") or ()],
    }


def _mask_document(mask: Row) -> dict[str, Any]:
    if "png" not in mask:
        return dict(mask)
    return {**mask, "png": base64.b64encode(mask["png"]).decode()}


def _finite(value: Any) -> Any:
    """JSON knows no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
