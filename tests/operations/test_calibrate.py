import pytest

from mover_ray.errors import ConfigError
from mover_ray.models import bundle as bundles
from mover_ray.operations.calibrate import CalibrateOptions, calibrate
from tests.evaluation.made import videos, write_results

SMALL = {"mae": {"image_px": 64}, "segment_frames": 3}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return bundles.init(tmp_path_factory.mktemp("bundle") / "one", "mover", SMALL)


def validation(dest, model: str, **more):
    return write_results(dest, videos(400, 400, **{"split": "val", **more}), model=model)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_the_new_bundle_is_the_old_one_with_other_scores(bundle, tmp_path, method) -> None:
    options = CalibrateOptions(
        bundle=str(bundle.path),
        results=validation(tmp_path / "v", bundle.model_sha256),
        method=method,
        out=str(tmp_path / "two"),
    )
    found = calibrate(options)
    made = bundles.load(tmp_path / "two")
    assert made.model_sha256 == found.model_sha256 != bundle.model_sha256
    assert made.weights.sha256 == bundle.weights.sha256
    assert made.calibration == found.calibration != bundle.calibration
    assert made.thresholds == found.thresholds
    assert {one.score is None for one in made.thresholds if one.min_tracks == 1} == {False}
    assert {one.score is None for one in made.thresholds if one.min_tracks > 1} == {True}
    assert f"calibrated ({method}) on 800 videos of split val: toy" in str(made.training.notes)
    assert found.after["ece"] < found.before["ece"]


def test_without_out_nothing_is_written(bundle, tmp_path) -> None:
    results = validation(tmp_path / "v", bundle.model_sha256)
    found = calibrate(CalibrateOptions(bundle=str(bundle.path), results=results))
    assert found.model_sha256 is None
    assert (found.real_videos, found.fake_videos) == (400, 400)


def test_test_data_and_other_models_are_refused(bundle, tmp_path) -> None:
    with pytest.raises(ConfigError, match="not calibrated on test data"):
        CalibrateOptions(bundle="b", results="r", split="test")
    with pytest.raises(ConfigError, match="another model made the results"):
        calibrate(
            CalibrateOptions(bundle=str(bundle.path), results=validation(tmp_path / "v", "b" * 64))
        )
    results = validation(tmp_path / "t", bundle.model_sha256, split="test")
    with pytest.raises(ConfigError, match="too few scored validation videos"):
        calibrate(CalibrateOptions(bundle=str(bundle.path), results=results))
