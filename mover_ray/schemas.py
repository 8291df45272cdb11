"""The tables that mover-ray reads and writes. Readers may rely on every name here.

A row is a video (one version of one object) from the manifest to the result.
Boxes are xyxy in pixels of the displayed frame (rotation applied), times are
seconds from the first frame, scores are probabilities of manipulation.
"""

import pyarrow as pa

from mover_ray.status import ANSWERED, RETRIED_BY_DEFAULT, Status

__all__ = [
    "ANSWERED",
    "EXTRACT",
    "FACES",
    "FORGED",
    "FORGING",
    "MANIFEST",
    "RESULT",
    "RETRIED_BY_DEFAULT",
    "SURVEY",
    "Status",
]

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


# 8-bit gray PNG of the crop's size. Null in real videos, where the manifest names no mask,
# and where nobody asked for masks, as in `score`.
_CROP_MASK = pa.field("mask", pa.binary())


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
#: `landmarks` and `part_boxes` are in pixels of the crop; `jpeg` holds the crop, `mask` the
#: levels at which a fake is manipulated, 0 to 255, where its manifest row names a mask.
EXTRACT = pa.schema(
    [
        *_EXTRACTED,
        _required("crops", pa.list_(_crop_struct(_required("jpeg", pa.binary()), _CROP_MASK))),
        *_COSTS,
        pa.field("bytes_read", pa.int64()),
    ]
)

#: Between the face stage and the scoring stage: as `EXTRACT`, with the crop's own
#: pixels (uint8 RGB, size x size x 3, row-major; null in a track that is not eligible)
#: and its detector score. `view` counts what was looked at, for ensembles whose members
#: look at other frames or crop faces in other ways; null is the first.
FACES = pa.schema(
    [
        *_EXTRACTED,
        _required(
            "crops",
            pa.list_(
                _crop_struct(
                    pa.field("pixels", pa.large_binary()),
                    _CROP_MASK,
                    _required("detector_score", pa.float32()),
                    _required("group", pa.int32()),
                    pa.field("view", pa.int32()),
                )
            ),
        ),
        *_COSTS,
        pa.field("bytes_read", pa.int64()),
    ]
)

#: What `forge` finds out about each source: the clip that will be forged, which begins at
#: `first_frame` and has one face throughout, `face_px` pixels tall or wide; `jaw` is its
#: median jaw line once the face fills the unit square upright.
SURVEY = pa.schema(
    [
        *_EXTRACTED[:-2],
        pa.field("first_frame", pa.int64()),
        pa.field("clip_frames", pa.int32()),
        pa.field("face_px", pa.float32()),
        pa.field("jaw", pa.list_(pa.list_(pa.float32(), 2), 17)),
        pa.field("decode_ms", pa.float32()),
        pa.field("faces_ms", pa.float32()),
    ]
)

_FORGED = [
    *MANIFEST,
    pa.field("sha256", pa.string()),
    *_OUTCOME,
    pa.field("manipulation", pa.string()),
    pa.field("target_uri", pa.string()),
    pa.field("partner_uri", pa.string()),
    pa.field("first_frame", pa.int64()),
    pa.field("num_frames", pa.int32()),
    pa.field("fps", pa.float64()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("mask_share", pa.float32()),
    pa.field("decode_ms", pa.float32()),
    pa.field("forge_ms", pa.float32()),
    pa.field("encode_ms", pa.float32()),
]

#: Between forging and storing: as `FORGED`, with the bytes of the files.
FORGING = pa.schema(
    [*_FORGED, pa.field("video", pa.large_binary()), pa.field("mask", pa.large_binary())]
)

#: One row a file of the corpus: what `forge` writes. `uri`, `pair_uri` and `mask_uri` name
#: files of the corpus, `target_uri` and `partner_uri` the sources that they were made from.
#: `mask_share` is the mean of the masks. Without status `ok` there is no file.
FORGED = pa.schema([*_FORGED, _required("run_id", pa.string())])
