"""An ensemble decodes each video once, and its members say what they would say alone."""

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mover_ray.faces.policy import FacePolicy
from mover_ray.models import bundle as bundles
from mover_ray.models import ensemble as ensembles
from mover_ray.models.bundle import Bundle
from mover_ray.models.bundle_card import ModelCard, Training
from mover_ray.models.calibration import Calibration
from mover_ray.models.registry import build_detector
from mover_ray.models.view import View
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.score import ScoreOptions, score
from mover_ray.stages.base import Row
from mover_ray.stages.faces import FindFaces
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader
from tests.archive import make_archive, make_model

MOTION_VIEW = View(
    faces=FacePolicy(size_px=48, margin=1.6, eligible_frames=2),
    sampling=SamplingPolicy(policy="clips", clips=2, clip_frames=4, clip_s=0.2),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensemble")
    make_archive(folder / "archive", faces=1, seconds=1.0)
    return folder


@pytest.fixture(scope="module")
def members(folder: Path) -> dict[str, Bundle]:
    motion = build_detector("motion", {"image_px": 48, "segment_frames": 4})
    card = ModelCard(
        model_id="motion-0",
        trained=False,
        licence="Apache-2.0",
        detector_name="motion",
        faces=MOTION_VIEW.faces,
        sampling=MOTION_VIEW.sampling,
        calibration=Calibration(temperature=2.0),
        thresholds=(),
        training=Training(code_version="test"),
    )
    return {
        "motion-0": bundles.save(folder / "motion", card, motion),
        "small-0": make_model(folder / "mover"),
    }


@pytest.fixture(scope="module")
def scored(folder: Path, members: dict[str, Bundle]) -> dict[str, dict[str, Row]]:
    """Gives the rows by the model that made them and the file's name."""
    ensembles.create(folder / "both", list(members.values()), "both")
    run = partial(
        ScoreOptions, source=str(folder / "archive"), allow_untrained=True, engine="local"
    )
    rows = {}
    for name, path in (("motion-0", "motion"), ("small-0", "mover"), ("both", "both")):
        dest = folder / f"scored-{path}"
        score(run(dest=str(dest), model=str(folder / path), masks="none"), Quiet())
        table = pq.read_table(dest / "results")
        rows[name] = {Path(row["uri"]).name: row for row in table.to_pylist()}
    return rows


def test_each_view_finds_what_it_would_find_alone(
    folder: Path, members: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    open_video = VideoReader.open

    def counted(*arguments: Any, **options: Any) -> Any:
        opened.append(arguments)
        return open_video(*arguments, **options)

    monkeypatch.setattr(VideoReader, "open", counted)
    views = [view for member in members.values() for view in member.views]
    row = {"video_id": 1, "uri": str(folder / "archive" / "face00.mp4")}
    row |= dict.fromkeys(("version_id", "etag", "size_bytes", "mtime_ns"))

    joint = _found(views, row)
    assert len(opened) == 1
    for number, view in enumerate(views):
        own = [crop for crop in joint["crops"] if crop["view"] == number]
        assert own == [{**crop, "view": number} for crop in _found([view], row)["crops"]]
        assert len(own) > 3
    frames = [{crop["frame_index"] for crop in joint["crops"] if crop["view"] == n} for n in (0, 1)]
    assert frames[0] != frames[1]


def test_members_say_what_they_say_alone(scored: dict[str, dict[str, Row]]) -> None:
    both = scored["both"]["face00.mp4"]
    alone = {name: scored[name]["face00.mp4"] for name in ("motion-0", "small-0")}

    assert dict(both["head_scores"]) == {name: row["score"] for name, row in alone.items()}
    logit = (alone["motion-0"]["logit"] / 2 + alone["small-0"]["logit"]) / 2
    assert both["logit"] == pytest.approx(logit, rel=1e-6)
    assert both["num_tracks"] == 1
    assert len(both["segments"]) == sum(len(row["segments"]) for row in alone.values())
    assert len(both["faces"]) == 1
    seen = [{f["frame_index"] for f in row["faces"][0]["frames"]} for row in alone.values()]
    assert {f["frame_index"] for f in both["faces"][0]["frames"]} == set.union(*seen)


def test_videos_without_a_score_have_the_same_reason(scored: dict[str, dict[str, Row]]) -> None:
    statuses = {name: row["status"] for name, row in scored["both"].items()}

    assert statuses == {"face00.mp4": "ok", "rocket.mp4": "no_face", "broken.mp4": "corrupt"}
    assert scored["both"]["rocket.mp4"]["score"] is None


def _found(views: list[View], row: Row) -> Row:
    stage = FindFaces(views, VideoBudget())
    try:
        return stage(row)
    finally:
        stage.close()
