import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.faces import scores

_SCALES = [scores.CENTERFACE, scores.YUNET, scores.RETINAFACE, scores.DLIB_HOG]


@pytest.mark.parametrize("scale", _SCALES)
@given(first=st.floats(-5, 5), second=st.floats(-5, 5))
def test_scale_rises_and_stays_between_0_and_1(scale, first, second):
    low, high = scale.to_common(np.array(sorted((first, second)), np.float32))
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize("scale", _SCALES)
@given(common=st.floats(0, 1))
def test_raw_threshold_is_the_common_one(scale, common):
    raw = np.array([scale.to_raw(common)], np.float64)
    assert scale.to_common(raw)[0] == pytest.approx(common, abs=1e-6)
