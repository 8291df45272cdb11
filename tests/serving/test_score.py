"""Scores over HTTP are those of `mover-ray score`; uploads leave nothing behind."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.results import open_results
from mover_ray.pipelines.score import ScoreOptions, score
from mover_ray.serving.engine import LocalEngine, LostError
from mover_ray.serving.served_models import BatchStages
from mover_ray.stages.base import Row
from tests.serving.service import Service, ToyEngine, serving


@pytest.fixture(scope="module")
def batch_rows(archive: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a run of `score` says of the archive, by file name."""
    dest = str(tmp_path_factory.mktemp("batch") / "out")
    options = ScoreOptions(
        source=str(archive), dest=dest, model=str(model), engine="local", allow_untrained=True
    )
    score(options, Quiet())
    results = open_results(dest)
    ids = [one for table in results.tables(("video_id",)) for one in table["video_id"].to_pylist()]
    return {Path(row["uri"]).name: row for row in results.take(ids)}


@pytest.fixture(scope="module")
def real(model: Path, keys_file: Path, the_keys: dict[str, str]) -> Iterator[Service]:
    """The service with the real stages, in this process."""
    settings = {
        "models": {"small": str(model)},
        "allow_untrained": True,
        "keys_file": str(keys_file),
    }
    engine = LocalEngine(BatchStages({}, allow_untrained=True))
    with serving(settings, engine, the_keys["alice"]) as service:
        yield service


def test_an_upload_has_the_score_of_the_batch_path(
    real: Service, archive: Path, batch_rows: dict[str, Row]
) -> None:
    assert {row["status"] for row in batch_rows.values()} == {"ok", "no_face", "corrupt"}
    for path in sorted(archive.iterdir()):
        row = batch_rows[path.name]
        answer = real.post_video(path.read_bytes(), params={"masks": "top"})
        assert answer.status_code == 200
        found = answer.json()
        assert found["status"] == row["status"]
        assert found["score"] == pytest.approx(row["score"], abs=1e-4)
        assert found["sha256"] == row["sha256"]
        assert found["config_fingerprint"] == row["config_fingerprint"]
        assert isinstance(found["video_id"], str)
        assert found["uri"] is None
        assert "/dev/fd" not in answer.text
        _check_faces(found, row)


def _check_faces(found: dict[str, Any], row: Row) -> None:
    assert [face["track_id"] for face in found["faces"]] == [
        face["track_id"] for face in row["faces"]
    ]
    for face, expected in zip(found["faces"], row["faces"], strict=True):
        for frame, one in zip(face["frames"], expected["frames"], strict=True):
            np.testing.assert_allclose(frame["box"], one["box"], atol=1e-3)
    assert len(found["masks"]) == len(row["masks"])
    for mask, one in zip(found["masks"], row["masks"], strict=True):
        assert base64.b64decode(mask["png"]) == one["png"]


def test_masks_come_only_when_they_are_asked_for(real: Service, archive: Path) -> None:
    content = (archive / "face00.mp4").read_bytes()
    assert real.post_video(content).json()["masks"] == []


def test_what_is_no_video_is_an_answer_with_a_status(real: Service) -> None:
    found = real.post_video(b"not a video").json()
    assert found["status"] in ("unsupported", "corrupt")
    assert found["score"] is None
    assert found["error"]


def test_the_models_are_listed_without_their_place(real: Service, model: Path) -> None:
    answer = real.ask("GET", "/v1/models")
    (one,) = answer.json()["models"]
    assert (one["name"], one["default"], one["trained"]) == ("small", True, False)
    assert str(model) not in answer.text


def test_an_unknown_model_is_not_found(service: Service) -> None:
    assert service.post_video(params={"model": "another"}).status_code == 404


def test_ready_is_only_who_can_score(service: Service, engine: ToyEngine) -> None:
    assert service.ask("GET", "/readyz", key=None).status_code == 200
    engine.gone = True
    assert service.ask("GET", "/readyz", key=None).status_code == 503
    assert service.ask("GET", "/healthz", key=None).status_code == 200


def test_a_lost_worker_is_a_reason_to_ask_again(service: Service, engine: ToyEngine) -> None:
    engine.error = LostError()
    answer = service.post_video()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    engine.error = None
    assert service.post_video().status_code == 200


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("s3://shared/a.mp4", True),
        ("s3://shared/deep/a%2e%2e.mp4", True),
        ("s3://own/alice/a.mp4", True),
        ("s3://own/bob/a.mp4", False),
        ("s3://own/{tenant}/a.mp4", False),
        ("s3://shared/", False),
        ("s3://sharedother/a.mp4", False),
        ("s3://other/a.mp4", False),
        ("s3://shared/../own/bob/a.mp4", False),
        ("s3://shared/./a.mp4", False),
        ("s3://shared/a\r\nb.mp4", False),
        ("S3://shared/a.mp4", False),
        ("s3://user@shared/a.mp4", False),
        ("/etc/passwd", False),
        ("file:///etc/passwd", False),
        ("memory://shared/a.mp4", False),
        ("http://169.254.169.254/latest/meta-data/", False),
        ("http://127.0.0.1:8265/api/jobs/", False),
        ("http://[::1]/a.mp4", False),
        ("http://2130706433/a.mp4", False),
        ("https://example.com/a.mp4", False),
        ("gopher://shared/a", False),
        ("", False),
    ],
)
def test_only_uris_within_the_allow_list_reach_the_engine(
    service: Service, engine: ToyEngine, uri: str, allowed: bool
) -> None:
    answer = service.ask("POST", "/v1/score", json={"uri": uri})
    assert answer.status_code == (200 if allowed else 403)
    assert len(engine.tasks) == allowed
