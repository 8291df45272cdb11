import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import ConfigError, InputError
from mover_ray.models.calibration import Calibration, Threshold, find_threshold
from mover_ray.status import Status

logits = st.floats(-1e6, 1e6)
tracks = st.integers(1, 1000)
calibrations = st.builds(
    Calibration,
    temperature=st.floats(1e-3, 1e3),
    bias=st.floats(-1e3, 1e3),
    track_penalty=st.floats(0, 1e3),
)


@given(calibrations, logits, tracks)
def test_gives_a_probability(calibration: Calibration, logit: float, num_tracks: int) -> None:
    assert 0.0 <= calibration.apply(logit, num_tracks) <= 1.0


@given(calibrations, logits, logits, tracks)
def test_keeps_the_order_of_logits(
    calibration: Calibration, one: float, other: float, num_tracks: int
) -> None:
    low, high = sorted([one, other])

    assert calibration.apply(low, num_tracks) <= calibration.apply(high, num_tracks)


@given(calibrations, logits, tracks, tracks)
def test_more_tracks_never_raise_a_score(
    calibration: Calibration, logit: float, one: int, other: int
) -> None:
    few, many = sorted([one, other])

    assert calibration.apply(logit, many) <= calibration.apply(logit, few)


@given(st.floats(-30, 30), tracks)
def test_is_the_plain_sigmoid_by_default(logit: float, num_tracks: int) -> None:
    expected = 1 / (1 + math.exp(-logit))

    assert Calibration().apply(logit, num_tracks) == pytest.approx(expected, rel=1e-12)


def test_follows_its_formula() -> None:
    calibration = Calibration(temperature=2.0, bias=0.5, track_penalty=1.0)

    expected = 1 / (1 + math.exp(-(3.0 / 2.0 + 0.5 - math.log(4))))
    assert calibration.apply(3.0, 4) == pytest.approx(expected)


CURVE = Calibration(curve_logits=(-1.0, 0.0, 2.0), curve_scores=(0.1, 0.1, 0.9))


@pytest.mark.parametrize(
    ("logit", "score"), [(-5, 0.1), (-1, 0.1), (-0.5, 0.1), (1, 0.5), (2, 0.9), (7, 0.9)]
)
def test_a_curve_is_straight_between_its_points_and_level_beyond(
    logit: float, score: float
) -> None:
    assert CURVE.apply(logit, 1) == pytest.approx(score)


@pytest.mark.parametrize(
    "curve",
    [
        {"curve_logits": (0.0, 1.0), "curve_scores": (0.5,)},
        {"curve_logits": (1.0, 0.0), "curve_scores": (0.1, 0.5)},
        {"curve_logits": (0.0, 1.0), "curve_scores": (0.5, 0.1)},
        {"curve_logits": (0.0, 1.0), "curve_scores": (0.5, 1.1)},
        {"curve_logits": (0.0, math.nan), "curve_scores": (0.1, 0.5)},
    ],
)
def test_a_curve_that_falls_or_leaves_its_range_is_refused(curve: dict) -> None:
    with pytest.raises(ConfigError, match="curve_"):
        Calibration(**curve)


@pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
def test_no_score_comes_of_a_logit_that_is_not_finite(logit: float) -> None:
    with pytest.raises(InputError) as caught:
        Calibration().apply(logit, 1)
    assert caught.value.status is Status.MODEL_ERROR


def test_a_video_without_a_track_has_no_score() -> None:
    with pytest.raises(ValueError, match="needs a track"):
        Calibration().apply(0.0, 0)


@pytest.mark.parametrize(
    "settings",
    [{"temperature": 0.0}, {"temperature": -1.0}, {"track_penalty": -0.1}, {"bias": math.nan}],
)
def test_values_that_would_turn_the_order_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Calibration(**settings)


def test_a_threshold_needs_real_videos() -> None:
    with pytest.raises(ConfigError, match="300 real videos"):
        Threshold(false_positive_rate=0.01, real_videos=299, score=0.9)
    assert Threshold(false_positive_rate=0.01, real_videos=299).score is None


def test_the_threshold_of_the_next_smaller_number_of_tracks_holds() -> None:
    thresholds = tuple(
        Threshold(false_positive_rate=rate, min_tracks=least, real_videos=300, score=score)
        for rate, least, score in [(0.01, 1, 0.8), (0.01, 3, 0.9), (0.05, 1, 0.6)]
    )

    found = [find_threshold(thresholds, 0.01, tracks) for tracks in (1, 2, 3, 9)]
    assert found == [0.8, 0.8, 0.9, 0.9]
    assert find_threshold(thresholds, 0.05, 9) == 0.6
    assert find_threshold(thresholds, 0.1, 1) is None
