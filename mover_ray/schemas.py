"""The tables that mover-ray reads and writes. Readers may rely on every name here.

A row is a video (one version of one object) from the manifest to the result.
Boxes are xyxy in pixels of the displayed frame (rotation applied), times are
seconds from the first frame, scores are probabilities of manipulation.
"""

import pyarrow as pa

from mover_ray.status import ANSWERED, RETRIED_BY_DEFAULT, Status

__all__ = ["ANSWERED", "EXTRACT", "FACES", "MANIFEST", "RESULT", "RETRIED_BY_DEFAULT", "Status"]

_BOX = pa.list_(pa.float32(), 4)
_AFFINE = pa.list_(pa.float32(), 6)
_POINTS = pa.list_(pa.list_(pa.float32(), 2), 68)


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


_IDENTITY = [
    _required("video_id", pa.int64()),
    _required("uri", pa.string()),
    pa.field("version_id", pa.string()),
    pa.field("etag", pa.string()),
    pa.field("size_bytes", pa.int64()),
]

#: What a run is to look at. `video_id` is unique; `label` is `real`, `fake` or null.
MANIFEST = pa.schema(
    [
        *_IDENTITY,
        pa.field("mtime_ns", pa.int64()),
        pa.field("label", pa.string()),
        pa.field("dataset", pa.string()),
        pa.field("method", pa.string()),
        pa.field("split", pa.string()),
        pa.field("identity", pa.string()),
        pa.field("source_id", pa.string()),
        pa.field("pair_uri", pa.string()),
        pa.field("mask_uri", pa.string()),
    ]
)

_OUTCOME = [
    _required("status", pa.string()),
    pa.field("error", pa.string()),
    _required("attempts", pa.int32()),
    _required("flags", pa.list_(pa.string())),
]

_VIDEO = [
    pa.field("duration_s", pa.float64()),
    pa.field("fps", pa.float64()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("codec", pa.string()),
    pa.field("num_frames", pa.int64()),
    pa.field("coverage", pa.float32()),
    pa.field("max_gap_s", pa.float64()),
]

_COSTS = [
    pa.field("fetch_ms", pa.float32()),
    pa.field("decode_ms", pa.float32()),
    pa.field("faces_ms", pa.float32()),
]

_FACE = pa.struct(
    [
        _required("track_id", pa.int32()),
        pa.field("score", pa.float32()),
        _required("first_s", pa.float64()),
        _required("last_s", pa.float64()),
        _required(
            "frames",
            pa.list_(
                pa.struct(
                    [
                        _required("frame_index", pa.int64()),
                        _required("time_s", pa.float64()),
                        _required("box", _BOX),
                        pa.field("score", pa.float32()),
                    ]
                )
            ),
        ),
    ]
)

_SEGMENT = pa.struct(
    [
        _required("track_id", pa.int32()),
        _required("start_s", pa.float64()),
        _required("end_s", pa.float64()),
        _required("score", pa.float32()),
    ]
)

_MASK = pa.struct(
    [
        _required("track_id", pa.int32()),
        _required("frame_index", pa.int64()),
        _required("time_s", pa.float64()),
        _required("kind", pa.string()),
        _required("box", _BOX),
        _required("height", pa.int32()),
        _required("width", pa.int32()),
        _required("png", pa.binary()),
    ]
)

#: One row a video: what `score` writes. Masks are a column of their own, because
#: Parquet readers cannot skip a leaf deep inside `faces`.
RESULT = pa.schema(
    [
        *_IDENTITY,
        pa.field("sha256", pa.string()),
        *_OUTCOME,
        *_VIDEO,
        pa.field("score", pa.float32()),
        pa.field("logit", pa.float32()),
        pa.field("head_scores", pa.map_(pa.string(), pa.float32())),
        pa.field("disagreement", pa.float32()),
        _required("trained", pa.bool_()),
        pa.field("num_tracks", pa.int32()),
        _required("faces", pa.list_(_FACE)),
        _required("segments", pa.list_(_SEGMENT)),
        _required("masks", pa.list_(_MASK)),
        pa.field("label", pa.string()),
        pa.field("dataset", pa.string()),
        pa.field("method", pa.string()),
        pa.field("split", pa.string()),
        _required("model_id", pa.string()),
        _required("model_sha256", pa.string()),
        _required("config_fingerprint", pa.string()),
        _required("run_id", pa.string()),
        _required("scored_at", pa.timestamp("us", tz="UTC")),
        *_COSTS,
        pa.field("score_ms", pa.float32()),
        pa.field("bytes_read", pa.int64()),
    ]
)


def _crop_struct(*image: pa.Field) -> pa.DataType:
    return pa.struct(
        [
            _required("track_id", pa.int32()),
            _required("frame_index", pa.int64()),
            _required("time_s", pa.float64()),
            _required("box", _BOX),
            _required("affine", _AFFINE),
            *image,
            _required("landmarks", _POINTS),
            _required("part_boxes", pa.map_(pa.string(), _BOX)),
            _required("quality", pa.float32()),
        ]
    )


_EXTRACTED = [*MANIFEST, pa.field("sha256", pa.string()), *_OUTCOME, *_VIDEO]

#: Aligned crops, landmarks and facial parts: what `extract` writes and training reads.
#: `affine` is the 2x3 matrix, row-major, that takes displayed pixels into the crop;
#: `landmarks` and `part_boxes` are in pixels of the crop; `jpeg` holds the crop.
EXTRACT = pa.schema(
    [
        *_EXTRACTED,
        _required("crops", pa.list_(_crop_struct(_required("jpeg", pa.binary())))),
        *_COSTS,
        pa.field("bytes_read", pa.int64()),
    ]
)

#: Between the face stage and the scoring stage: as `EXTRACT`, with the crop's own
#: pixels (uint8 RGB, size x size x 3, row-major; null in a track that is not eligible)
#: and its detector score.
FACES = pa.schema(
    [
        *_EXTRACTED,
        _required(
            "crops",
            pa.list_(
                _crop_struct(
                    pa.field("pixels", pa.large_binary()),
                    _required("detector_score", pa.float32()),
                    _required("group", pa.int32()),
                )
            ),
        ),
        *_COSTS,
        pa.field("bytes_read", pa.int64()),
    ]
)
