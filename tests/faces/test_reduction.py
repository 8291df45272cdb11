import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.faces.reduction import halve, shrink


def test_shrink_never_enlarges(portrait):
    assert shrink(portrait, 512) is portrait
    assert shrink(portrait, 320).shape == (320, 320, 3)
    assert shrink(np.zeros((2, 900, 3), np.uint8), 100).shape == (1, 100, 3)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 90))
def test_longer_side_is_what_was_asked(height, width, longer):
    small = shrink(np.full((height, width, 3), 77, np.uint8), longer)
    assert max(small.shape[:2]) == min(longer, max(height, width))
    assert (small == 77).all()


@pytest.mark.parametrize("longer", [400, 256, 200, 128, 60])
def test_shrunk_picture_is_near_the_full_average(portrait, longer):
    small = shrink(portrait, longer).astype(float)
    average = cv2.resize(portrait, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    plain = cv2.resize(portrait, small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    assert np.abs(small - average).mean() < min(6, np.abs(plain - average.astype(float)).mean())


def test_halve_averages_four_pixels_and_cuts_odd_edges():
    image = np.arange(35, dtype=np.uint8).reshape(5, 7) * 4
    wanted = image[:4, :6].reshape(2, 2, 3, 2).mean(axis=(1, 3))
    assert halve(image).tolist() == wanted.tolist()
