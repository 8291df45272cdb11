"""Aggregation of logits over segments and frames."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.stages.tracks import logit_of_mean


@given(st.lists(st.floats(-15, 15), min_size=1, max_size=8))
def test_it_is_the_logit_of_the_mean_probability(logits: list[float]) -> None:
    mean = sum(1 / (1 + math.exp(-x)) for x in logits) / len(logits)
    assert logit_of_mean(np.array(logits)) == pytest.approx(math.log(mean / (1 - mean)), abs=1e-6)


@given(st.floats(-700, 700))
def test_certain_logits_stay_as_they_are(logit: float) -> None:
    assert logit_of_mean(np.array([logit, logit])) == pytest.approx(logit)
