import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.faces.centerface import decode


def _maps() -> list[np.ndarray]:
    return [np.zeros((*channels, 6, 8), np.float32) for channels in ((), (2,), (2,))]


@given(
    row=st.integers(0, 5),
    column=st.integers(0, 7),
    size=st.tuples(st.floats(1, 200), st.floats(1, 200)),
    offset=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
)
def test_one_cell_is_one_box(row, column, size, offset):
    heatmap, log_size, offsets = _maps()
    heatmap[row, column] = 0.75
    height, width = size
    log_size[:, row, column] = np.log(height / 4), np.log(width / 4)
    offsets[:, row, column] = offset
    boxes, scores = decode(heatmap, log_size, offsets, 0.5)
    x, y = (column + offset[1] + 0.5) * 4, (row + offset[0] + 0.5) * 4
    expected = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    assert boxes.dtype == np.float32
    assert boxes == pytest.approx(np.array([expected]), abs=1e-3)
    assert scores.tolist() == [0.75]


def test_cells_below_the_threshold_are_passed_over():
    heatmap, log_size, offsets = _maps()
    heatmap[1, 1], heatmap[2, 2] = 0.5, 0.4
    boxes, scores = decode(heatmap, log_size, offsets, 0.5)
    assert len(boxes) == len(scores) == 1
    boxes, scores = decode(heatmap, log_size, offsets, 0.6)
    assert boxes.shape == (0, 4)
