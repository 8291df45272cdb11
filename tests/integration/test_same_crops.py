"""`extract` and `score` see the same faces, and both write what their schemas say."""

import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from mover_ray.config import to_mapping
from mover_ray.faces.policy import FacePolicy
from mover_ray.pipelines.extract import ExtractOptions, extract
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.score import ScoreOptions, plan, score
from mover_ray.schemas import EXTRACT, RESULT
from mover_ray.stages.base import Row
from tests.archive import FRAMES, SIZE_PX, make_archive, make_model

NAMES = {"face00.mp4", "face01.mp4", "rocket.mp4", "broken.mp4"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("same")
    make_archive(folder / "archive", faces=2)
    make_model(folder / "model")
    return folder


@pytest.fixture(scope="module")
def options(folder: Path) -> partial[ScoreOptions]:
    return partial(
        ScoreOptions,
        source=str(folder / "archive"),
        model=str(folder / "model"),
        allow_untrained=True,
        engine="local",
    )


@pytest.fixture(scope="module")
def extracted(folder: Path) -> dict[str, Row]:
    dest = folder / "extracted"
    settings = {
        "faces": {"size_px": SIZE_PX},
        "sampling": {"frames": FRAMES},
        "pipeline": {"workers": 2},
    }
    extract(
        ExtractOptions(
            source=str(folder / "archive"), dest=str(dest), engine="local", settings=settings
        ),
        Quiet(),
    )
    return by_name(dest / "crops")


@pytest.fixture(scope="module")
def scored(folder: Path, options: partial[ScoreOptions]) -> dict[str, Row]:
    score(options(dest=str(folder / "scored")), Quiet())
    return by_name(folder / "scored" / "results")


def by_name(results: Path) -> dict[str, Row]:
    return {Path(row["uri"]).name: row for row in pq.read_table(results).to_pylist()}


def test_every_file_of_the_archive_has_its_row(
    extracted: dict[str, Row], scored: dict[str, Row]
) -> None:
    for rows in (extracted, scored):
        assert {name: row["status"] for name, row in rows.items()} == {
            "face00.mp4": "ok",
            "face01.mp4": "ok",
            "rocket.mp4": "no_face",
            "broken.mp4": "corrupt",
        }
    assert scored["rocket.mp4"]["score"] is None
    assert 0.0 < scored["face00.mp4"]["score"] < 1.0
    assert not scored["face00.mp4"]["trained"]


def test_the_crops_that_are_stored_are_those_that_are_scored(
    folder: Path, options: partial[ScoreOptions], extracted: dict[str, Row]
) -> None:
    asked = options(dest=str(folder / "unused"))
    stage = plan(asked)[0].prepare.build()
    try:
        for row in asked.manifest().table.to_pylist():
            seen = stage(row)["crops"]
            stored = extracted[Path(row["uri"]).name]["crops"]
            assert len(seen) == len(stored)
            for one, other in zip(seen, stored, strict=True):
                for name in ("track_id", "frame_index", "time_s", "box", "affine", "landmarks"):
                    assert np.allclose(one[name], other[name], atol=1e-4), name
                check_same_picture(one["pixels"], other["jpeg"])
    finally:
        stage.close()


def check_same_picture(pixels: bytes, jpeg: bytes) -> None:
    wanted = np.frombuffer(pixels, np.uint8).reshape(SIZE_PX, SIZE_PX, 3)
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    difference = np.abs(cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(int) - wanted)
    assert difference.mean() < 2.0  # of 255: what JPEG at quality 95 costs, and no shift


def test_the_boxes_of_the_results_are_those_of_the_crops(
    extracted: dict[str, Row], scored: dict[str, Row]
) -> None:
    crops = extracted["face00.mp4"]["crops"]
    frames = scored["face00.mp4"]["faces"][0]["frames"]
    assert len(crops) == len(frames) == FRAMES
    for crop, frame in zip(crops, frames, strict=True):
        assert crop["frame_index"] == frame["frame_index"]
        assert np.allclose(crop["box"], frame["box"])


def test_the_files_have_the_schemas_of_the_contract(folder: Path, scored: dict[str, Row]) -> None:
    del scored
    part = next((folder / "scored" / "results").iterdir())
    assert pq.read_schema(part).equals(RESULT)
    part = next((folder / "extracted" / "crops").iterdir())
    schema = pq.read_schema(part)
    assert schema.equals(EXTRACT)
    policy = json.loads(schema.metadata[b"mover_ray.faces"])
    assert policy == to_mapping(FacePolicy(size_px=SIZE_PX))


def test_masks_lie_on_the_face_that_they_show(scored: dict[str, Row]) -> None:
    row = scored["face00.mp4"]
    boxes = {frame["frame_index"]: frame["box"] for frame in row["faces"][0]["frames"]}
    assert len(row["masks"]) == 3
    for mask in row["masks"]:
        face, box = boxes[mask["frame_index"]], mask["box"]
        centre = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
        assert box[0] < centre[0] < box[2]
        assert box[1] < centre[1] < box[3]
        assert box[0] >= 0
        assert box[2] <= row["width"]


def test_a_run_is_the_same_twice(
    folder: Path, options: partial[ScoreOptions], scored: dict[str, Row]
) -> None:
    score(options(dest=str(folder / "again")), Quiet())
    again = by_name(folder / "again" / "results")
    making = ("run_id", "scored_at", "fetch_ms", "decode_ms", "faces_ms", "score_ms")
    for name in NAMES:
        one = {key: value for key, value in scored[name].items() if key not in making}
        assert one == {key: value for key, value in again[name].items() if key not in making}
