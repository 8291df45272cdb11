"""The small gray picture that the landmarks are read from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.faces.base import Landmarker
from mover_ray.faces.dlib68 import _gray_chip, _surroundings, predictor_path
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.registry import build_landmarker

_BOX = np.array([[182, 70, 268, 180]], np.float32)


@pytest.fixture(scope="module")
def landmarker() -> Landmarker:
    return build_landmarker(FacePolicy())


@given(st.floats(-50, 900), st.floats(-50, 600), st.floats(1, 800))
def test_surroundings_are_the_square_and_its_room(x, y, size):
    corner, side = _surroundings(np.array([x, y, x + size, y + size], np.float32), 2000)
    assert side == pytest.approx(max(1, 1.6 * size), abs=0.51)
    assert corner + side / 2 == pytest.approx([x + size / 2, y + size / 2], abs=0.51)


@pytest.mark.parametrize("side", [40, 320, 500, 1100])
def test_chip_is_gray_in_place_and_black_outside(side):
    """Around a corner of the frame, whose right third is black: a quarter is white."""
    image = np.full((600, 1200, 3), 255, np.uint8)
    image[:, 800:] = 0
    chip = _gray_chip(image, np.array([800 - side // 2, 600 - side // 2]), side)
    assert chip.shape == (320, 320)
    assert chip.dtype == np.uint8
    # The edges' own pixels mix both sides.
    assert (chip[:152, :152] == 255).all()
    assert not chip[168:].any()
    assert not chip[:, 168:].any()


def test_chip_outside_the_frame_is_black():
    assert not _gray_chip(np.full((50, 60, 3), 255, np.uint8), np.array([90, 0]), 30).any()


def test_points_move_and_grow_with_the_face(landmarker, portrait):
    alone = landmarker.landmarks(portrait, _BOX)[0]
    placed = np.zeros((900, 1200, 3), np.uint8)
    placed[211 : 211 + 512, 403 : 403 + 512] = portrait
    moved = landmarker.landmarks(placed, _BOX + np.array([403, 211, 403, 211], np.float32))[0]
    assert moved - [403, 211] == pytest.approx(alone, abs=1e-2)
    twice = np.repeat(np.repeat(portrait, 2, axis=0), 2, axis=1)
    bigger = landmarker.landmarks(twice, _BOX * 2)[0]
    # Centres of pixels: twice the distance from the corner, not from the first centre.
    assert np.abs((bigger + 0.5) / 2 - 0.5 - alone).mean() < 1.0


def test_a_monstrous_box_costs_no_memory(landmarker, portrait):
    box = np.array([[-1e7, -1e7, 1e7, 1e7]], np.float32)
    points = landmarker.landmarks(portrait, box)
    assert np.isfinite(points).all()


def test_no_boxes_give_no_points(landmarker, portrait):
    found = landmarker.landmarks(portrait, np.zeros((0, 4), np.float32))
    assert found.shape == (0, 68, 2)


def test_the_model_file_is_there():
    assert predictor_path().stat().st_size > 50_000_000
