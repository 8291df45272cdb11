"""From crops to a row: aggregation, masks, and independence of neighbours."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch

from mover_ray.models.base import Detector, DetectorOutput, FaceBatch, InputSpec
from mover_ray.models.bundle import Bundle
from mover_ray.schemas import FACES, RESULT
from mover_ray.stages.base import Row, manifest_columns
from mover_ray.stages.score import Scorer
from mover_ray.stages.scoring_config import ScoringConfig
from tests.archive import SIZE_PX, make_model

STAMP = {"config_fingerprint": "0", "run_id": "r"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_model(tmp_path_factory.mktemp("model") / "small")


def crop_row(track: int, frame: int, *, eligible: bool = True, seed: int = 0) -> Row:
    noise = np.random.default_rng([seed, track, frame])
    return {
        "track_id": track,
        "frame_index": frame,
        "time_s": frame / 10,
        "group": 0,
        "box": [100.0, 100.0, 200.0, 200.0],
        "affine": [0.5, 0.0, -40.0, 0.0, 0.5, -40.0],
        "pixels": noise.bytes(SIZE_PX * SIZE_PX * 3) if eligible else None,
        "landmarks": noise.uniform(8, SIZE_PX - 8, (68, 2)).tolist(),
        "part_boxes": [],
        "detector_score": 0.9,
        "quality": 0.5,
    }


def video_row(crops: list[Row], status: str = "ok") -> Row:
    row = {"video_id": 7, "uri": "/a.mp4", "label": "fake"}
    return {
        **manifest_columns(row), "status": status, "error": None, "attempts": 1, "flags": [],
        "width": 640, "height": 480, "coverage": 1.0, "crops": crops,
    }  # fmt: skip


def as_table(row: Row) -> pa.Table:
    return pa.Table.from_pylist([{**row, **STAMP}], schema=RESULT)


class Told(Detector):
    """Says of each frame what its first pixel says: a logit of (value - 128) / 16."""

    head_names = ("red", "blue")
    spec = InputSpec(size_px=SIZE_PX, segment_frames=2)
    mask_kind: Any = "trained"

    def forward(self, faces: torch.Tensor, landmarks: torch.Tensor) -> DetectorOutput:
        frames = (faces[:, :, 0, 0, 0].float() - 128) / 16
        segments = frames.mean(dim=1)
        return DetectorOutput(
            logits_S=segments,
            frame_logits_ST=frames,
            head_scores={"red": segments.sigmoid(), "blue": torch.zeros(len(segments))},
        )

    def losses(self, batch: FaceBatch) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    def localize(self, faces: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        return torch.full((len(faces), 8, 8), 0.5)


def told_scorer(bundle: Bundle, **changes: Any) -> Scorer:
    return Scorer(bundle, Told(), ScoringConfig(**changes))


def said(track: int, frame: int, logit: float) -> Row:
    pixels = np.full(SIZE_PX * SIZE_PX * 3, round(128 + 16 * logit), np.uint8)
    return {**crop_row(track, frame), "pixels": pixels.tobytes()}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_the_strongest_track_gives_the_score(bundle: Bundle) -> None:
    crops = [said(0, f, -1) for f in range(4)] + [said(1, f, 2) for f in range(2)]
    crops += [said(1, f, 1) for f in range(2, 4)]
    row = told_scorer(bundle)(video_row(crops))

    expected = (sigmoid(2) + sigmoid(1)) / 2
    assert row["score"] == pytest.approx(expected)
    assert row["logit"] == pytest.approx(math.log(expected / (1 - expected)))
    assert row["num_tracks"] == 2
    assert [face["score"] for face in row["faces"]] == [
        pytest.approx(sigmoid(-1)),
        pytest.approx(expected),
    ]
    assert [frame["score"] for frame in row["faces"][1]["frames"]] == [
        pytest.approx(sigmoid(x)) for x in (2, 2, 1, 1)
    ]
    assert dict(row["head_scores"]) == {"blue": 0.0, "red": pytest.approx(expected)}
    assert row["disagreement"] == pytest.approx(expected)
    assert [(s["track_id"], s["start_s"], s["end_s"]) for s in row["segments"]] == [
        (0, 0.0, 0.1), (0, 0.2, 0.3), (1, 0.0, 0.1), (1, 0.2, 0.3),
    ]  # fmt: skip
    as_table(row)


def test_the_masks_of_the_most_suspicious_frames_are_kept(bundle: Bundle) -> None:
    crops = [said(0, f, x) for f, x in enumerate([0, 3, 1, 2, -1, 4])]
    kept = {}
    for choice in ("all", "top", "none"):
        masks = told_scorer(bundle, masks=choice)(video_row(crops))["masks"]
        kept[choice] = [mask["frame_index"] for mask in masks]
    assert kept == {"all": [0, 1, 2, 3, 4, 5], "top": [1, 3, 5], "none": []}


def test_a_mask_is_a_gray_png_over_its_box(bundle: Bundle) -> None:
    mask = told_scorer(bundle)(video_row([said(0, f, 1) for f in range(3)]))["masks"][0]
    image = cv2.imdecode(np.frombuffer(mask["png"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert image.dtype == np.uint8
    assert image.shape == (mask["height"], mask["width"])
    assert mask["kind"] == "trained"
    # The affine halves and shifts by 40: the crop's 64 px are 128 px of the frame from 80 on.
    assert mask["box"] == pytest.approx([79, 79, 208, 208], abs=1)
    assert image[image.shape[0] // 2, image.shape[1] // 2] == 128


def test_masks_that_scoring_makes_are_those_of_their_frames(bundle: Bundle) -> None:
    class Shown(Told):
        def forward(self, faces: torch.Tensor, landmarks: torch.Tensor) -> DetectorOutput:
            output = super().forward(faces, landmarks)
            shown = output.frame_logits_ST.sigmoid()[..., None, None].expand(-1, -1, 8, 8)
            return dataclasses.replace(output, masks_SThw=shown)

        def localize(self, faces: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
            raise AssertionError("the masks are there already")

    crops = [said(track, f, track + f / 4) for track in (0, 1) for f in range(5)]
    row = Scorer(bundle, Shown(), ScoringConfig(masks="all"))(video_row(crops))
    for mask in row["masks"]:
        image = cv2.imdecode(np.frombuffer(mask["png"], np.uint8), cv2.IMREAD_UNCHANGED)
        assert image is not None
        expected = 255 * sigmoid(mask["track_id"] + mask["frame_index"] / 4)
        assert image[image.shape[0] // 2, image.shape[1] // 2] == pytest.approx(expected, abs=1)
    assert len(row["masks"]) == 10
    without = Scorer(bundle, Shown(), ScoringConfig(masks="none"))(video_row(crops))
    assert without["masks"] == []


def test_a_video_without_an_eligible_face_has_no_score(bundle: Bundle) -> None:
    crops = [crop_row(0, f, eligible=False) for f in range(3)]
    row = Scorer(bundle, bundle.detector(), ScoringConfig())(video_row(crops, status="no_face"))
    assert (row["status"], row["score"], row["logit"], row["masks"]) == ("no_face", None, None, [])
    assert [face["score"] for face in row["faces"]] == [None]
    assert len(row["faces"][0]["frames"]) == 3
    as_table(row)


def test_an_ineligible_track_is_listed_and_not_counted(bundle: Bundle) -> None:
    crops = [crop_row(0, f, eligible=False) for f in range(2)]
    crops += [crop_row(1, f) for f in range(3)]
    row = Scorer(bundle, bundle.detector(), ScoringConfig())(video_row(crops))
    assert row["num_tracks"] == 1
    assert [face["score"] is None for face in row["faces"]] == [True, False]
    assert row["faces"][1]["score"] == row["score"]


def test_a_number_that_is_not_finite_is_a_status_and_no_score(bundle: Bundle) -> None:
    class Broken(Told):
        def forward(self, faces: torch.Tensor, landmarks: torch.Tensor) -> DetectorOutput:
            output = super().forward(faces, landmarks)
            output.logits_S[0] = float("nan")
            return output

    row = Scorer(bundle, Broken(), ScoringConfig())(video_row([said(0, f, 1) for f in range(3)]))
    assert (row["status"], row["score"]) == ("model_error", None)
    assert "not finite" in row["error"]
    as_table(row)


def test_a_score_does_not_depend_on_what_was_scored_before(bundle: Bundle) -> None:
    mine = video_row([crop_row(0, f) for f in range(7)])
    other = video_row([crop_row(0, f, seed=5) for f in range(13)])
    alone = Scorer(bundle, bundle.detector(), ScoringConfig())(mine)
    scorer = Scorer(bundle, bundle.detector(), ScoringConfig())
    scorer(other)
    after = scorer(mine)
    for name in ("score", "logit", "faces", "segments", "masks", "head_scores"):
        assert alone[name] == after[name], name


def test_a_track_scores_the_same_whatever_other_tracks_there_are(bundle: Bundle) -> None:
    scorer = Scorer(bundle, bundle.detector(), ScoringConfig(masks="none"))
    alone = scorer(video_row([crop_row(3, f) for f in range(6)]))
    crowd = [crop_row(track, f) for track in range(5) for f in range(6)]
    together = scorer(video_row(crowd))
    assert together["faces"][3]["score"] == pytest.approx(alone["score"], abs=1e-6)


def test_rows_pass_through_arrow_between_the_stages(bundle: Bundle) -> None:
    row = video_row([crop_row(0, f) for f in range(5)])
    crossed = pa.Table.from_pylist([row], schema=FACES).to_pylist()[0]
    scorer = Scorer(bundle, bundle.detector(), ScoringConfig(masks="none"))
    assert scorer(crossed)["logit"] == scorer(row)["logit"]


def test_top_masks_of_a_tie_are_the_first(bundle: Bundle, tmp_path: Path) -> None:
    masks = told_scorer(bundle)(video_row([said(0, f, 1) for f in range(5)]))["masks"]
    assert [mask["frame_index"] for mask in masks] == [0, 1, 2]
