import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.faces.base import Detections, Image
from mover_ray.faces.boxes import iou
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.reduction import shrink
from mover_ray.faces.registry import build_detector
from mover_ray.faces.windows import find_in_window, find_shrunk, merge, squares

# Read off the portrait by eye.
_FACE = np.array([[182, 70, 268, 180]], np.float32)


@pytest.fixture(scope="module")
def detector():
    return build_detector(FacePolicy())


def _two(portrait) -> Image:
    frame = np.full((540, 1100, 3), 120, np.uint8)
    frame[:512, :512] = portrait
    frame[20 : 20 + 300, 700:1000] = shrink(portrait, 300)
    return frame


def test_a_face_is_found_at_its_place_in_the_whole_image(detector, portrait):
    frame = _two(portrait)
    found = find_in_window(detector, frame, np.array([100, 10, 350, 260], np.float32), 96)
    assert len(found) == 1
    assert found.boxes.dtype == np.float32
    assert iou(found.boxes, _FACE)[0, 0] > 0.6
    second = find_in_window(detector, frame, np.array([740, 0, 930, 190], np.float32), 96)
    assert len(second) == 1
    assert iou(second.boxes, _FACE * (300 / 512) + np.array([700, 20, 700, 20]))[0, 0] > 0.6


def test_what_the_window_cuts_is_left_out(detector, portrait):
    """The image's own edge cuts nothing off that a whole search would have seen."""
    cut = np.array([100, 10, 240, 260], np.float32)
    assert len(find_in_window(detector, portrait, cut, 128)) == 0
    edge = np.ascontiguousarray(portrait[85:])
    window = np.array([100, -60, 350, 200], np.float32)
    assert len(find_in_window(detector, edge, window, 128)) == 1


def test_a_window_outside_the_image_holds_nothing(detector, portrait):
    for window in ([600, 0, 700, 100], [-90, -90, -5, -5], [40, 40, 40.2, 90]):
        assert len(find_in_window(detector, portrait, np.array(window, np.float32), 96)) == 0


def test_shrunk_images_give_boxes_in_their_own_pixels(detector, portrait):
    found = find_shrunk(detector, [portrait, portrait], [512, 200])
    assert iou(found[0].boxes[:1], found[1].boxes[:1])[0, 0] > 0.7


def test_merge_keeps_the_best_of_the_same_face():
    near = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    again = np.array([[1, 0, 11, 10]], np.float32)
    merged = merge(
        [
            Detections(near, np.array([0.6, 0.9], np.float32)),
            Detections(again, np.array([0.8], np.float32)),
        ]
    )
    assert merged.boxes.tolist() == [[50, 50, 60, 60], [1, 0, 11, 10]]
    assert merged.scores == pytest.approx([0.9, 0.8])


@given(
    st.lists(st.tuples(*[st.floats(-500, 500)] * 2, *[st.floats(1, 300)] * 2), max_size=4),
    st.floats(1, 4),
)
def test_squares_are_centred_and_as_wide_as_asked(rows, faces):
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float32).reshape(-1, 4)
    around = squares(boxes, faces)
    sizes = around[:, 2:] - around[:, :2]
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    for side in sizes.T:
        assert side == pytest.approx(longer * faces, rel=1e-3, abs=1e-2)
    assert around[:, :2] + around[:, 2:] == pytest.approx(boxes[:, :2] + boxes[:, 2:], abs=1e-2)
