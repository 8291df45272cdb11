import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.faces.alignment import (
    align,
    anchors,
    crop,
    mask_to_frame,
    similarity,
    template,
    usable,
)
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.warping import scale_of, transform

_TURNS = st.floats(-3.1, 3.1)


@given(
    turn=_TURNS,
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_similarity_finds_what_moved_the_points(turn, scale, shift):
    source = np.random.default_rng(1).uniform(-100, 100, (5, 2))
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    moved = source @ np.array([[cosine, sine], [-sine, cosine]]) + shift
    expected = [[cosine, -sine, shift[0]], [sine, cosine, shift[1]]]
    assert similarity(source, moved) == pytest.approx(np.array(expected), abs=1e-6 * (1 + scale))


@given(st.integers(0, 2**32 - 1), st.floats(-0.2, 0.2), st.floats(-0.2, 0.2))
def test_no_other_similarity_fits_better(seed, change_a, change_b):
    random = np.random.default_rng(seed)
    source, target = random.normal(size=(2, 6, 2))
    best = similarity(source, target)
    other = best + np.array([[change_a, -change_b, 0], [change_b, change_a, 0]])
    errors = [((transform(m, source) - target) ** 2).sum() for m in (best, other)]
    assert errors[0] <= errors[1] + 1e-5


def test_a_mirrored_face_is_not_flipped_back():
    source = np.random.default_rng(2).normal(size=(5, 2))
    assert np.linalg.det(similarity(source, source * (-1, 1))[:, :2]) > 0


@pytest.mark.parametrize("side", ["source", "target"])
def test_coinciding_points_are_refused(side):
    points = {"source": np.random.default_rng(3).normal(size=(5, 2))}
    points["target"] = points["source"].copy()
    points[side] = np.full((5, 2), 7.0)
    with pytest.raises(ValueError, match="coincide"):
        similarity(**points)


@pytest.mark.parametrize("margin", [1.0, 1.3, 2.0])
def test_mean_face_fills_the_crop_but_for_the_margin(mean_face, margin):
    policy = FacePolicy(margin=margin)
    face = mean_face(side=90, centre=(300, 200), turn=0.4)
    in_crop = transform(align(face, np.zeros(4, np.float32), policy), face)
    low, high = in_crop.min(axis=0) + 0.5, in_crop.max(axis=0) + 0.5
    assert (high - low).max() == pytest.approx(224 / margin, rel=0.01)
    assert (low + high) / 2 == pytest.approx([112, 112], abs=1)
    assert anchors(in_crop) == pytest.approx(template(margin, 224), abs=1)


def test_box_alignment_is_the_square_around_the_box(mean_face):
    policy = FacePolicy(alignment="box", margin=1.5, size_px=100)
    affine = align(mean_face(), np.array([100, 50, 140, 130], np.float32), policy)
    # Side 1.5 * 80 around (120, 90); edges lie half a pixel before centres.
    corners = transform(affine, np.array([[60, 30], [180, 150]]) - 0.5) + 0.5
    assert corners == pytest.approx(np.array([[0, 0], [100, 100]]), abs=1e-3)
    with pytest.raises(ValueError, match="empty"):
        align(mean_face(), np.array([9, 9, 9, 9], np.float32), policy)


def test_usable_wants_a_face_in_its_box(mean_face):
    face, box = mean_face(side=100, centre=(200, 200)), np.array([150, 150, 250, 250], np.float32)
    assert usable(face, box)
    assert not usable(face + 100, box)
    assert not usable(np.zeros((68, 2), np.float32), box)
    assert not usable((face - 200) * (0.2, 1) + 200, box)
    assert not usable(np.where(face > 240, np.nan, face), box)


@settings(deadline=None, max_examples=80)
@given(
    turn=_TURNS,
    face_px=st.floats(50, 300),
    centre=st.tuples(st.floats(200, 440), st.floats(150, 330)),
    margin=st.floats(1.0, 2.0),
    side=st.sampled_from([56, 112, 224]),
)
def test_known_mask_lands_where_it_was(mean_face, turn, face_px, centre, margin, side):
    """A spot of the frame, seen in the crop, comes back within two pixels."""
    policy = FacePolicy(margin=margin)
    face = mean_face(side=face_px, centre=centre, turn=turn)
    affine = align(face, np.zeros(4, np.float32), policy)
    spot = tuple(face[60:68].mean(axis=0))
    frame = _disc(spot, face_px / 6)
    mask = cv2.resize(crop(frame, affine, 224), (side, side), interpolation=cv2.INTER_AREA)
    laid = _laid_over(*mask_to_frame(mask, affine, 224, (640, 480)), (640, 480))
    for found, known in zip(_extent(laid), _extent(frame), strict=True):
        assert found == pytest.approx(known, abs=2)
    assert _centre(laid) == pytest.approx(_centre(frame), abs=1)


def _disc(centre, radius) -> np.ndarray:
    y, x = np.mgrid[:480, :640]
    return np.where(np.hypot(x - centre[0], y - centre[1]) <= radius, 255, 0).astype(np.uint8)


def _laid_over(box, mask, frame_size) -> np.ndarray:
    """What any tool does: resize the picture to the box and put it there."""
    x0, y0, x1, y1 = box.astype(int)
    assert box.tolist() == [x0, y0, x1, y1]
    frame = np.zeros(frame_size[::-1], np.uint8)
    frame[y0:y1, x0:x1] = cv2.resize(mask, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    return frame


def _extent(frame) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(frame >= 128)
    return columns.min(), rows.min(), columns.max(), rows.max()


def _centre(frame) -> tuple[float, float]:
    rows, columns = np.nonzero(frame >= 128)
    return columns.mean(), rows.mean()


def test_mask_of_an_upright_crop_comes_back_unchanged():
    mask = np.random.default_rng(5).integers(0, 256, (50, 50), dtype=np.uint8)
    affine = np.array([[1, 0, -30], [0, 1, -20]], np.float32)
    box, placed = mask_to_frame(mask, affine, 50, (200, 100))
    assert box.tolist() == [30, 20, 80, 70]
    assert np.array_equal(placed, mask)


def test_mask_is_clipped_to_the_frame():
    mask = np.full((50, 50), 200, np.uint8)
    affine = np.array([[1, 0, 20], [0, 1, -80]], np.float32)
    box, placed = mask_to_frame(mask, affine, 50, (200, 100))
    assert box.tolist() == [0, 80, 30, 100]
    assert placed.shape == (20, 30)
    assert (placed == 200).all()


def test_floating_mask_is_a_probability():
    affine = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    mask = np.array([[-0.5, 0.25], [0.5, 3.0]], np.float32)
    _, placed = mask_to_frame(mask, affine, 2, (2, 2))
    assert placed.tolist() == [[0, 64], [128, 255]]


def test_turned_mask_keeps_its_resolution():
    affine = similarity(np.array([[0.0, 0], [1, 0]]), np.array([[100.0, 0], [102, 2]]))
    _, placed = mask_to_frame(np.zeros((56, 56), np.uint8), affine, 224, (2000, 2000))
    box, _ = mask_to_frame(np.zeros((56, 56), np.uint8), affine, 224, (2000, 2000))
    cell_px = 4 / scale_of(affine)
    assert placed.shape[1] == pytest.approx((box[2] - box[0]) / cell_px, abs=1)


def test_crop_outside_the_frame_is_refused():
    affine = np.array([[1, 0, -500], [0, 1, 0]], np.float32)
    with pytest.raises(ValueError, match="outside the frame"):
        mask_to_frame(np.zeros((8, 8), np.uint8), affine, 64, (100, 100))
