"""Masks lie where they belong, and nobody can be recognised where that is promised."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.report import pictures
from tests.made_results import mask_png

_SIZE = (512, 384)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.floats(-50, 500), st.floats(-50, 380), st.floats(1, 300), st.floats(1, 300)),
)
def test_a_region_lies_in_the_frame_and_is_never_empty(sides):
    x, y, width, height = sides
    x0, y0, x1, y1 = pictures.around((x, y, x + width, y + height), _SIZE)
    assert 0 <= x0 < x1 <= _SIZE[0]
    assert 0 <= y0 < y1 <= _SIZE[1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 200), st.integers(0, 150), st.integers(1, 3))
def test_a_mask_lands_within_two_pixels_of_its_box(x0, y0, scale):
    side = 96
    mask = {"png": mask_png(255), "box": [x0, y0, x0 + side, y0 + side]}
    region = (x0 - 20, y0 - 10, x0 + side + 30, y0 + side + 20)
    size = ((region[2] - region[0]) * scale, (region[3] - region[1]) * scale)
    levels = pictures.place(mask, region, size)
    ys, xs = np.nonzero(levels > 127)
    edges = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / scale
    # The left half of the mask is set.
    expected = np.array([20, 10, 20 + side / 2, 10 + side])
    assert np.abs(edges - expected).max() <= 2 + 96 / 16 / 2


def test_pixels_of_a_face_are_gone_and_others_stay():
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    out = pictures.pixelate(noise, [(100.0, 50.0, 180.0, 130.0)])
    face = out[50:130, 100:180]
    assert len(np.unique(face.reshape(-1, 3), axis=0)) <= 64
    assert (out[:, :90] == noise[:, :90]).all()
    assert (out[:, 190:] == noise[:, 190:]).all()
    assert not (out[50:130, 100:180] == noise[50:130, 100:180]).all(axis=2).mean() > 0.1


def test_a_face_at_the_border_is_blurred_as_far_as_it_goes():
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    out = pictures.pixelate(image, [(-10.0, -10.0, 15.0, 15.0), (39.5, 39.5, 60.0, 60.0)])
    assert out.shape == image.shape
    assert not (out[:15, :15] == image[:15, :15]).all()


def test_heat_is_transparent_where_nothing_is_marked():
    png = pictures.heat({"png": mask_png(200), "box": [10, 10, 90, 90]}, (0, 0, 100, 100))
    image = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED))
    assert image.shape == (96, 96, 4)
    assert image[48, 20, 3] > 100
    assert image[48, 80, 3] == 0


def test_a_picture_is_small_and_keeps_its_shape():
    image = np.zeros((900, 900, 3), np.uint8)
    jpeg = cv2.imdecode(np.frombuffer(pictures.cut(image, (0, 0, 800, 400)), np.uint8), 1)
    assert np.asarray(jpeg).shape == (144, 288, 3)


def test_a_mask_that_is_no_png_is_refused():
    with pytest.raises(ValueError, match="no PNG"):
        pictures.place({"png": b"no", "box": [0, 0, 1, 1]}, (0, 0, 1, 1), (1, 1))
