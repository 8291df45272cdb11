import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.faces.warping import scale_of, transform, warp


def _similarity(scale: float, turn: float, shift=(0.0, 0.0)) -> np.ndarray:
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


def test_transform_is_the_matrix_product():
    affine = np.array([[2.0, 0.5, 3.0], [-1.0, 1.0, 4.0]])
    points = np.array([[[1, 2], [3, 4]]], np.float32)
    assert transform(affine, points).tolist() == [[[6, 5], [11, 5]]]
    assert transform(affine, points).dtype == np.float32


@given(st.floats(0.05, 20), st.floats(-4, 4))
def test_scale_is_that_of_the_similarity(scale, turn):
    assert scale_of(_similarity(scale, turn)) == pytest.approx(scale)


def test_identity_copies_and_black_lies_outside():
    image = np.random.default_rng(0).integers(1, 256, (20, 30, 3), dtype=np.uint8)
    picture = warp(image, _similarity(1, 0), 40)
    assert np.array_equal(picture[:20, :30], image)
    assert not picture[20:].any()
    assert not picture[:, 30:].any()


def test_map_that_misses_the_image_gives_black():
    image = np.full((20, 30, 3), 200, np.uint8)
    assert not warp(image, _similarity(1, 0, (500, 0)), 16).any()


@settings(deadline=None, max_examples=60)
@given(
    scale=st.floats(0.1, 3.0),
    turn=st.floats(-3.1, 3.1),
    place=st.tuples(st.floats(250, 390), st.floats(200, 280)),
)
def test_a_spot_lands_where_transform_says(scale, turn, place):
    """A soft spot's centre of mass, for every scale, lies where the map takes its centre."""
    y, x = np.mgrid[:480, :640]
    radius = 12 / scale
    spot = 255 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * (radius / 2.5) ** 2))
    affine = _similarity(scale, turn)
    affine[:, 2] = np.array([63.3, 61.8]) - affine[:, :2] @ place
    picture = warp(spot.astype(np.uint8), affine, 128).astype(float)
    rows, columns = np.mgrid[:128, :128]
    centre = (picture * columns).sum() / picture.sum(), (picture * rows).sum() / picture.sum()
    assert centre == pytest.approx((63.3, 61.8), abs=0.15)


def test_fine_texture_becomes_gray_and_no_pattern():
    """Lines two pixels apart cannot be seen at a fifth of the size: they must average out."""
    lines = np.tile(np.array([0, 255], np.uint8), (600, 300))
    affine = _similarity(0.19, 0.3, (40, -20))
    inside = slice(40, 60)
    plain = cv2.warpAffine(lines, affine, (100, 100))[inside, inside]
    assert warp(lines, affine, 100)[inside, inside].std() < plain.std() / 4


@pytest.mark.parametrize("scale", [0.9, 0.7, 0.51, 0.3, 0.12])
def test_a_shrunk_picture_is_near_the_average_of_what_it_shows(portrait, scale):
    """Against eight by eight readings a pixel."""
    big = cv2.resize(portrait, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    affine = _similarity(scale, 0.2)
    affine[:, 2] = 80 - affine[:, :2] @ np.array([450.0, 250.0])
    fine = affine * 8
    fine[:, 2] += 3.5
    many = cv2.warpAffine(big, fine, (1280, 1280)).astype(np.float32)
    wanted = cv2.resize(many, (160, 160), interpolation=cv2.INTER_AREA)
    error = np.abs(warp(big, affine, 160) - wanted).mean()
    assert error < 3
    if scale < 0.5:
        assert error < np.abs(cv2.warpAffine(big, affine, (160, 160)) - wanted).mean() / 1.5
