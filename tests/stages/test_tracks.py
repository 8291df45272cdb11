"""Aggregation of logits over segments and frames."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.models.base import InputSpec
from mover_ray.stages.base import Row
from mover_ray.stages.tracks import logit_of_mean, track_input


@given(st.lists(st.floats(-15, 15), min_size=1, max_size=8))
def test_it_is_the_logit_of_the_mean_probability(logits: list[float]) -> None:
    mean = sum(1 / (1 + math.exp(-x)) for x in logits) / len(logits)
    assert logit_of_mean(np.array(logits)) == pytest.approx(math.log(mean / (1 - mean)), abs=1e-6)


@given(st.floats(-700, 700))
def test_certain_logits_stay_as_they_are(logit: float) -> None:
    assert logit_of_mean(np.array([logit, logit])) == pytest.approx(logit)


def crop_at(time_s: float) -> Row:
    value = round(10 * time_s)
    return {
        "time_s": time_s,
        "pixels": np.full(2 * 2 * 3, value, np.uint8).tobytes(),
        "landmarks": np.full((68, 2), value, np.float32).tolist(),
    }


def test_frames_that_belong_to_no_clip_are_not_scored() -> None:
    crops = [crop_at(time_s) for time_s in (0.0, 0.1, 0.2, 0.3, 5.0, 9.0, 9.1, 9.2)]
    crops.insert(2, {**crop_at(0.15), "pixels": None})

    made = track_input(crops, InputSpec(size_px=2, segment_frames=4, clips=True))
    assert made is not None
    assert [crop["time_s"] for crop in made.crops] == [0.0, 0.1, 0.2, 0.3, 9.0, 9.1, 9.2]
    assert made.indices_ST.tolist() == [[0, 1, 2, 3], [4, 4, 5, 6]]
    assert made.faces_NCHW[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 90, 91, 92]
    assert made.landmarks_NKX[:, 0, 0].tolist() == [0, 1, 2, 3, 90, 91, 92]
