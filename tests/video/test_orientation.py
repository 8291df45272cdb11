import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.video.orientation import Orientation

ONE = 65536
IMAGE = np.arange(2 * 3).reshape(2, 3, 1)


def matrix(a: float, b: float, c: float, d: float) -> bytes:
    values = [round(ONE * value) for value in (a, b, 0, c, d, 0, 0, 0)]
    return struct.pack("=9i", *values, 2**30)


@pytest.mark.parametrize(
    ("values", "turned", "rotation"),
    [
        ((1, 0, 0, 1), IMAGE, 0),
        ((0, 1, -1, 0), np.rot90(IMAGE, -1), 90),
        ((-1, 0, 0, -1), np.rot90(IMAGE, 2), 180),
        ((0, -1, 1, 0), np.rot90(IMAGE), 270),
        ((-1, 0, 0, 1), IMAGE[:, ::-1], 0),
        ((1, 0, 0, -1), IMAGE[::-1], 180),
    ],
)
def test_display_matrices(
    values: tuple[int, int, int, int], turned: np.ndarray, rotation: int
) -> None:
    orientation = Orientation.from_matrix(matrix(*values))
    np.testing.assert_array_equal(orientation.apply(IMAGE), turned)
    assert orientation.rotation == rotation


@given(st.floats(-44, 44), st.sampled_from([0, 90, 180, 270]))
def test_a_slanted_matrix_counts_as_the_nearest_quarter_turn(slant: float, turn: int) -> None:
    angle = np.deg2rad(turn + slant)
    sine, cosine = np.sin(angle), np.cos(angle)
    assert Orientation.from_matrix(matrix(cosine, sine, -sine, cosine)).rotation == turn
