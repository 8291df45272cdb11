"""The contract of the tables: names, order and what may be null."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mover_ray.schemas import EXTRACT, FACES, MANIFEST, RESULT

MANIFEST_NAMES = [
    "video_id",
    "uri",
    "version_id",
    "etag",
    "size_bytes",
    "mtime_ns",
    "label",
    "dataset",
    "method",
    "split",
    "identity",
    "source_id",
    "pair_uri",
    "mask_uri",
]
RESULT_NAMES = [
    "video_id",
    "uri",
    "version_id",
    "etag",
    "size_bytes",
    "sha256",
    "status",
    "error",
    "attempts",
    "flags",
    "duration_s",
    "fps",
    "width",
    "height",
    "codec",
    "num_frames",
    "coverage",
    "max_gap_s",
    "score",
    "logit",
    "head_scores",
    "disagreement",
    "trained",
    "num_tracks",
    "faces",
    "segments",
    "masks",
    "label",
    "dataset",
    "method",
    "split",
    "model_id",
    "model_sha256",
    "config_fingerprint",
    "run_id",
    "scored_at",
    "fetch_ms",
    "decode_ms",
    "faces_ms",
    "score_ms",
    "bytes_read",
]


def test_manifest_names_and_nulls():
    assert MANIFEST.names == MANIFEST_NAMES
    assert [field.name for field in MANIFEST if not field.nullable] == ["video_id", "uri"]
    assert MANIFEST.field("video_id").type == pa.int64()


def test_result_names():
    assert RESULT.names == RESULT_NAMES


def test_a_result_without_a_score_is_possible_and_one_without_a_status_is_not():
    assert RESULT.field("score").nullable
    assert RESULT.field("score").type == pa.float32()
    assert not RESULT.field("status").nullable


def test_masks_are_no_leaf_of_faces():
    faces = RESULT.field("faces").type.value_type
    assert "png" not in str(faces)
    mask = RESULT.field("masks").type.value_type
    names = ["track_id", "frame_index", "time_s", "kind", "box", "height", "width", "png"]
    assert [mask.field(i).name for i in range(mask.num_fields)] == names


def test_extract_begins_with_the_manifest():
    assert EXTRACT.names[: len(MANIFEST_NAMES)] == MANIFEST_NAMES
    crop = EXTRACT.field("crops").type.value_type
    names = {crop.field(i).name for i in range(crop.num_fields)}
    assert {"track_id", "frame_index", "time_s", "box", "affine", "jpeg", "landmarks"} <= names
    assert {"part_boxes", "quality"} <= names


def test_faces_carry_pixels_where_extract_carries_jpeg():
    crop = FACES.field("crops").type.value_type
    names = {crop.field(i).name for i in range(crop.num_fields)}
    assert "pixels" in names
    assert "jpeg" not in names


@pytest.mark.parametrize(
    "schema", [MANIFEST, RESULT, EXTRACT], ids=["manifest", "result", "extract"]
)
def test_parquet_keeps_the_schema(schema):
    buffer = io.BytesIO()
    pq.write_table(schema.empty_table(), buffer)
    assert pq.read_schema(buffer).equals(schema)


def test_boxes_have_four_numbers():
    def row(box):
        mask = {"track_id": 0, "frame_index": 0, "time_s": 0.0, "kind": "trained", "box": box}
        return [{**mask, "height": 1, "width": 1, "png": b""}]

    column = RESULT.field("masks").type
    assert pa.array([row([0, 1, 2, 3])], column).to_pylist()[0][0]["box"] == [0, 1, 2, 3]
    with pytest.raises(pa.ArrowInvalid):
        pa.array([row([0, 1, 2])], column)
