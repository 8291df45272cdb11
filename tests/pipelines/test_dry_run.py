"""What a run would take, tried out on a few of its videos."""

from pathlib import Path

import pytest

from mover_ray.pipelines import extract
from mover_ray.pipelines.costs import FACES_PER_GPU_S
from mover_ray.pipelines.score import ScoreOptions
from mover_ray.pipelines.score import dry_run as dry_run_score
from tests.archive import FRAMES, SIZE_PX, make_archive, make_model

PRICES = {"prices": {"cpu_hour": 3600.0, "gpu_hour": 7200.0, "currency": "EUR"}}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("dry") / "in", 2)


def test_the_estimate_of_extract(archive: Path, tmp_path: Path) -> None:
    options = extract.ExtractOptions(
        source=str(archive),
        dest=str(tmp_path / "out"),
        settings=PRICES | {"faces": {"size_px": SIZE_PX}, "sampling": {"frames": FRAMES}},
    )
    found = extract.dry_run(options)
    assert (found.videos, found.sampled, found.failing_share) == (4, 4, 0.25)
    assert found.faces == 2 * FRAMES
    assert (found.gpu_hours, found.currency) == (0.0, "EUR")
    assert found.cost == pytest.approx(found.cpu_hours * 3600)
    assert not (tmp_path / "out").exists()


def test_scoring_takes_gpu_hours_for_its_faces(archive: Path, tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    options = ScoreOptions(
        source=str(archive),
        dest=str(tmp_path / "out"),
        model=str(tmp_path / "model"),
        allow_untrained=True,
        settings={"prices": {"cpu_hour": 1.0}},
    )
    found = dry_run_score(options)
    assert found.gpu_hours == pytest.approx(2 * FRAMES / FACES_PER_GPU_S / 3600)
    assert found.cost is None  # the GPU has no price
