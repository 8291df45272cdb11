import numpy as np
import pytest

from mover_ray.errors import ConfigError
from mover_ray.evaluation.calibration import (
    Sample,
    count_alarms,
    false_alarms_per_hit,
    find_thresholds,
    fit,
    probabilities,
)
from mover_ray.evaluation.metrics import expected_calibration_error
from mover_ray.models.calibration import find_threshold


def sample(
    count: int = 4000,
    *,
    fakes: float = 0.5,
    scale: float = 1.0,
    penalty: float = 0.0,
    seed: int = 0,
) -> Sample:
    """Logits whose truth is sigmoid(logit / scale - penalty * ln tracks) at even odds."""
    rng = np.random.default_rng(seed)
    fake = rng.random(count) < fakes
    tracks = rng.integers(1, 9, count)
    # Normals two apart with a spread of sqrt 2 have exactly their own value as logit.
    even = rng.normal(np.where(fake, 1.0, -1.0), np.sqrt(2.0))
    return Sample(fake, (even + penalty * np.log(tracks)) * scale, tracks)


def test_recovers_temperature_and_track_penalty_whatever_the_share_of_fakes() -> None:
    found = fit(sample(20_000, fakes=0.8, scale=3.0, penalty=0.7))
    assert found.temperature == pytest.approx(3.0, rel=0.06)
    assert found.track_penalty == pytest.approx(0.7, abs=0.06)
    assert found.bias == pytest.approx(0.0, abs=0.1)


def test_more_faces_never_make_a_video_more_suspicious() -> None:
    assert fit(sample(penalty=-0.7)).track_penalty == 0.0


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_makes_probabilities_of_overconfident_scores(method) -> None:
    fitted, fresh = sample(scale=4.0), sample(scale=4.0, seed=1)
    raw = 1 / (1 + np.exp(-fresh.logits))
    calibrated = probabilities(fit(fitted, method), fresh)
    assert expected_calibration_error(fresh.fake, raw) > 0.1
    assert expected_calibration_error(fresh.fake, calibrated) < 0.03


def test_a_perfect_separation_keeps_a_finite_temperature() -> None:
    fake = np.arange(100) < 50
    found = fit(Sample(fake, np.where(fake, 5.0, -5.0), np.ones(100, np.int64)))
    assert found.apply(5.0, 1) == pytest.approx(51 / 52, abs=1e-6)


def test_scores_upside_down_or_too_few_are_refused() -> None:
    good = sample(200)
    with pytest.raises(ConfigError, match="ranks real videos above"):
        fit(Sample(good.fake, -good.logits, good.num_tracks))
    with pytest.raises(ConfigError, match="too few scored validation videos"):
        fit(Sample(good.fake[:12], good.logits[:12], good.num_tracks[:12]))


def test_thresholds_keep_their_rate_by_number_of_tracks() -> None:
    found = sample(9000, penalty=0.5)
    scores = probabilities(fit(found), found)
    thresholds = find_thresholds(scores, found)
    for rate in (0.01, 0.05):
        for tracks in (1, 2, 4, 8):
            least = find_threshold(thresholds, rate, tracks)
            assert least is not None
        groups = [one for one in thresholds if one.false_positive_rate == rate]
        for one, beyond in zip(groups, (2, 3, 5, 99), strict=True):
            inside = (found.num_tracks >= one.min_tracks) & (found.num_tracks < beyond)
            reals = scores[inside & ~found.fake]
            assert one.real_videos == len(reals) >= 300
            assert one.score is not None
            share = (reals >= one.score).mean()
            assert rate - 1 / len(reals) <= share <= rate


def test_no_threshold_stands_on_fewer_than_300_reals() -> None:
    few = sample(550)
    scores = probabilities(fit(few), few)
    assert all(one.score is None for one in find_thresholds(scores, few))
    lines = count_alarms(find_thresholds(scores, few), scores, few)
    assert "no threshold" in lines[0].sentence()


def test_reals_at_the_highest_score_leave_no_threshold() -> None:
    fake = np.zeros(400, dtype=bool)
    sure = Sample(fake, np.full(400, 90.0), np.ones(400, np.int64))
    assert find_thresholds(np.ones(400), sure)[0].score is None


def test_false_alarms_for_each_hit_by_hand() -> None:
    # Of 100,000 videos 100 are fake: 80 are found, and 999 of 99,900 reals are called fake.
    assert false_alarms_per_hit(0.01, 0.8, 0.001) == pytest.approx(999 / 80)
    assert false_alarms_per_hit(0.01, 0.0, 0.001) is None


def test_the_sentence_says_it_in_plain_words() -> None:
    found = sample(9000)
    scores = probabilities(fit(found), found)
    line = count_alarms(find_thresholds(scores, found), scores, found)[0]
    assert line.per_hit == pytest.approx(0.01 * 0.999 / (line.found * 0.001))
    assert "at 1 fake in 1,000 videos" in line.sentence()
    assert f"{line.per_hit:,.1f} false alarms for each hit" in line.sentence()
