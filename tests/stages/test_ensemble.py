"""Members score as they do alone; what they say is averaged, face by face."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mover_ray.models import bundle as bundles
from mover_ray.models import ensemble as ensembles
from mover_ray.models.base import Detector, DetectorOutput, FaceBatch, InputSpec
from mover_ray.models.bundle import Bundle
from mover_ray.models.calibration import Calibration
from mover_ray.models.ensemble import Ensemble
from mover_ray.schemas import FACES, RESULT
from mover_ray.stages.base import Row
from mover_ray.stages.ensemble import MEMBER_WITHOUT_FACE, EnsembleScorer
from mover_ray.stages.score import Scorer
from mover_ray.stages.scorers import build_scorer
from mover_ray.stages.scoring_config import ScoringConfig
from tests.stages.test_score import crop_row, sigmoid, video_row

SIZES = (32, 48)
STAMP = {"config_fingerprint": "0", "run_id": "r"}


class Told(Detector):
    """Says of each frame what its first pixel says: a logit of (value - 128) / 16."""

    head_names = ("only",)
    mask_kind: Any = "trained"

    def __init__(self, size_px: int) -> None:
        super().__init__()
        self.spec = InputSpec(size_px=size_px, segment_frames=1)

    def forward(self, faces: torch.Tensor, landmarks: torch.Tensor) -> DetectorOutput:
        frames = (faces[:, :, 0, 0, 0].float() - 128) / 16
        frames = torch.where(frames < -7.9, torch.nan, frames)
        return DetectorOutput(
            logits_S=frames[:, 0],
            frame_logits_ST=frames,
            head_scores={"only": frames[:, 0].sigmoid()},
        )

    def losses(self, batch: FaceBatch) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    def localize(self, faces: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        return torch.full((len(faces), 8, 8), 0.5)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    folder = tmp_path_factory.mktemp("members")
    settings = [{"image_px": size, "segment_frames": 1} for size in SIZES]
    return [
        bundles.init(folder / f"{seed}", "motion", one, seed=seed)
        for seed, one in enumerate(settings)
    ]


@pytest.fixture(scope="module")
def ensemble(members: list[Bundle], tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    return ensembles.create(tmp_path_factory.mktemp("both") / "both", members, "both")


@pytest.fixture(scope="module")
def scorer(ensemble: Ensemble) -> Scorer | EnsembleScorer:
    return build_scorer(ensemble, [Told(size) for size in SIZES], ScoringConfig(batch_segments=4))


def said(view: int, track: int, frame: int, logit: float | None, left: float = 100.0) -> Row:
    pixels = None
    if logit is not None:
        pixels = np.full(SIZES[view] ** 2 * 3, round(128 + 16 * logit), np.uint8).tobytes()
    box = [left, 100.0, left + 100, 200.0]
    return {**crop_row(track, frame), "view": view, "pixels": pixels, "box": box}


def row_of(*crops: Row) -> Row:
    """Gives a row as it comes from the first stage over the wire."""
    row: Row = pa.Table.from_pylist([video_row(list(crops))], schema=FACES).to_pylist()[0]
    return row


def track(view: int, number: int, logit: float | None, left: float = 100.0) -> list[Row]:
    return [said(view, number, frame, logit, left) for frame in (view, 3, 6 + view)]


def test_calibrated_logits_are_averaged(scorer: EnsembleScorer) -> None:
    row = scorer(row_of(*track(0, 0, 3.0), *track(1, 0, -1.0)))

    assert row["logit"] == pytest.approx(1.0)
    assert row["score"] == pytest.approx(sigmoid(1.0))
    assert dict(row["head_scores"]) == {
        "motion-untrained-0": pytest.approx(sigmoid(3.0)),
        "motion-untrained-1": pytest.approx(sigmoid(-1.0)),
    }
    assert row["disagreement"] == pytest.approx(sigmoid(3.0) - sigmoid(-1.0))
    assert (row["model_id"], row["num_tracks"], row["flags"]) == ("both", 1, [])
    pa.Table.from_pylist([{**row, **STAMP}], schema=RESULT)


def test_each_members_calibration_counts(ensemble: Ensemble) -> None:
    cooler = dataclasses.replace(
        ensemble.members[0], calibration=Calibration(temperature=2.0, bias=1.0)
    )
    curved = dataclasses.replace(
        ensemble.members[1],
        calibration=Calibration(curve_logits=(-4.0, 4.0), curve_scores=(0.0, 1.0)),
    )
    model = dataclasses.replace(
        ensemble, members=(cooler, curved), calibration=Calibration(bias=0.5)
    )
    scorer = build_scorer(model, [Told(size) for size in SIZES], ScoringConfig())

    row = scorer(row_of(*track(0, 0, 4.0), *track(1, 0, 2.0)))

    assert row["logit"] == pytest.approx((3.0 + math.log(3)) / 2)  # 4 / 2 + 1, and 3 to 1
    assert row["score"] == pytest.approx(sigmoid(row["logit"] + 0.5))


def test_a_face_is_told_once_with_the_mean_of_what_is_said_of_it(scorer: EnsembleScorer) -> None:
    first = track(0, 0, 2.0) + track(0, 1, 0.0, left=400.0)
    second = track(1, 0, -2.0, left=405.0) + track(1, 1, 4.0, left=103.0)
    row = scorer(row_of(*first, *second))

    assert row["num_tracks"] == 2
    assert [face["track_id"] for face in row["faces"]] == [0, 1]
    assert [face["score"] for face in row["faces"]] == [
        pytest.approx(sigmoid(3.0)),
        pytest.approx(sigmoid(-1.0)),
    ]
    frames = row["faces"][0]["frames"]
    assert [frame["frame_index"] for frame in frames] == [0, 1, 3, 6, 7]
    assert [frame["score"] for frame in frames] == [
        pytest.approx(sigmoid(logit)) for logit in (2.0, 4.0, 3.0, 2.0, 4.0)
    ]
    assert row["score"] == pytest.approx(sigmoid(3.0))


def test_segments_and_masks_of_all_members_follow_their_faces(scorer: EnsembleScorer) -> None:
    first = track(0, 0, 2.0) + track(0, 1, 0.0, left=400.0)
    row = scorer(row_of(*first, *track(1, 0, 1.0, left=400.0)))

    assert [one["track_id"] for one in row["segments"]] == [0] * 3 + [1] * 6
    assert {one["track_id"] for one in row["masks"]} == {0, 1}
    starts = [one["start_s"] for one in row["segments"] if one["track_id"] == 1]
    assert starts == sorted(starts)


def test_a_member_that_has_no_face_to_score_stays_out(scorer: EnsembleScorer) -> None:
    row = scorer(row_of(*track(0, 0, 3.0), *track(1, 0, None)))

    assert row["status"] == "ok"
    assert row["score"] == pytest.approx(sigmoid(3.0))
    assert len(row["head_scores"]) == 1
    assert row["disagreement"] is None
    assert row["flags"] == [MEMBER_WITHOUT_FACE]


def test_a_member_that_fails_fails_the_video(scorer: EnsembleScorer) -> None:
    row = scorer(row_of(*track(0, 0, 3.0), *track(1, 0, -8.0)))

    assert (row["status"], row["score"], row["logit"]) == ("model_error", None, None)
    assert row["error"] == "the model gave a number that is not finite"


def test_what_has_no_eligible_face_has_no_score(scorer: EnsembleScorer) -> None:
    crops = track(0, 0, None) + track(1, 0, None)
    row = scorer({**row_of(*crops), "status": "no_face", "error": "none"})

    assert (row["status"], row["error"], row["score"]) == ("no_face", "none", None)
    assert [face["score"] for face in row["faces"]] == [None]


def test_videos_do_not_change_each_others_scores(scorer: EnsembleScorer) -> None:
    rows = [row_of(*track(0, 0, one), *track(1, 0, -one)) for one in (3.0, 1.0)]
    rows.insert(1, {**row_of(), "status": "corrupt"})

    together = scorer.score_rows(rows)

    assert [one["score"] for one in together] == [scorer(row)["score"] for row in rows]
    scorer.close()


def test_a_plain_bundle_has_a_plain_scorer(members: list[Bundle], tmp_path: Path) -> None:
    assert type(build_scorer(members[0], [Told(32)], ScoringConfig())) is Scorer
