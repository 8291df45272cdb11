import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.faces.tracking import MOST_MISSED, Tracker


def _boxes(*corners: tuple[float, float]) -> np.ndarray:
    return np.array([(x, y, x + 100, y + 100) for x, y in corners], np.float32).reshape(-1, 4)


def test_faces_keep_their_numbers_when_their_order_changes():
    tracker = Tracker(0.3)
    assert tracker.update(_boxes((0, 0), (300, 0))) == [0, 1]
    assert tracker.update(_boxes((310, 5), (12, 0))) == [1, 0]
    assert tracker.update(_boxes((600, 0), (20, 0))) == [2, 0]


def test_best_overlap_is_served_first():
    tracker = Tracker(0.1)
    tracker.update(_boxes((0, 0), (60, 0)))
    # The new face at 45 overlaps both; it is nearer to the second.
    assert tracker.update(_boxes((45, 0), (5, 0))) == [1, 0]


def test_a_face_that_reappears_in_time_continues_its_track():
    tracker = Tracker(0.3)
    tracker.update(_boxes((0, 0)))
    for _ in range(MOST_MISSED):
        assert tracker.update(_boxes()) == []
    assert tracker.update(_boxes((10, 10))) == [0]


def test_a_face_that_stays_away_too_long_starts_anew():
    tracker = Tracker(0.3)
    tracker.update(_boxes((0, 0)))
    for _ in range(MOST_MISSED + 1):
        tracker.update(_boxes())
    assert tracker.update(_boxes((0, 0))) == [1]


def test_least_overlap_is_enough():
    # Moved by 50 of 100 pixels: intersection over union is exactly one third.
    for least, expected in ((1 / 3, [0]), (0.34, [1])):
        tracker = Tracker(least)
        tracker.update(_boxes((0, 0)))
        assert tracker.update(_boxes((50, 0))) == expected


_FRAMES = st.lists(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=6), max_size=12
)


@given(_FRAMES)
def test_numbers_are_unique_in_a_frame_and_rise_by_first_appearance(frames):
    tracker, repeated, started = Tracker(0.3), Tracker(0.3), 0
    for corners in frames:
        numbers = tracker.update(_boxes(*corners))
        assert len(set(numbers)) == len(numbers) == len(corners)
        new = [number for number in numbers if number >= started]
        assert new == list(range(started, started + len(new)))
        started += len(new)
        assert repeated.update(_boxes(*corners)) == numbers
