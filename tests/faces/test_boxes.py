import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.faces.boxes import SquareShape, iou, suppress

_SIDES = st.tuples(
    *[st.integers(-50, 50), st.integers(-50, 50), st.integers(0, 40), st.integers(0, 40)]
)
_BOXES = st.lists(_SIDES.map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])), max_size=12)


def _array(boxes) -> np.ndarray:
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


@given(_BOXES, _BOXES)
def test_iou_is_counted_pixels(first, second):
    overlaps = iou(_array(first), _array(second))
    assert overlaps.shape == (len(first), len(second))
    assert overlaps.dtype == np.float32
    for row, a in enumerate(first):
        for column, b in enumerate(second):
            shared = _length(a[0], a[2], b[0], b[2]) * _length(a[1], a[3], b[1], b[3])
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
            assert overlaps[row, column] == pytest.approx(shared / union if union else 0.0)


def _length(a0: int, a1: int, b0: int, b1: int) -> int:
    return max(0, min(a1, b1) - max(a0, b0))


@given(_BOXES, st.randoms(use_true_random=False))
def test_suppression_leaves_the_best_of_each_heap(boxes, random):
    scores = np.array([random.choice((0.2, 0.5, 0.9)) for _ in boxes], dtype=np.float32)
    kept = suppress(_array(boxes), scores, most_iou=0.3)
    assert list(scores[kept]) == sorted(scores[kept], reverse=True)
    among = iou(_array(boxes)[kept], _array(boxes)[kept])
    assert (among[~np.eye(len(kept), dtype=bool)] <= 0.3).all()
    for index in set(range(len(boxes))) - set(kept.tolist()):
        rivals = kept[scores[kept] >= scores[index]]
        assert iou(_array(boxes)[[index]], _array(boxes)[rivals]).max() > 0.3


def test_equal_scores_keep_their_order():
    boxes = _array([(0, 0, 10, 10), (1, 0, 11, 10), (100, 0, 110, 10)])
    assert suppress(boxes, np.full(3, 0.5, np.float32), 0.3).tolist() == [0, 2]


def test_square_has_the_asked_place_and_side():
    square = SquareShape(shift_x=0.5, shift_y=-0.25, side=2.0).apply(_array([(0, 0, 10, 40)]))
    # Centre (5, 20) moves by (5, -10); the side is 2 * sqrt(400).
    assert square.tolist() == [[-10.0, -10.0, 30.0, 30.0]]
