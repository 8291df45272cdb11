"""Landmarks, warps and masks: arithmetic that must hold for any face."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.forge.landmarks import (
    FRAME,
    MIRRORED,
    mesh,
    smooth,
    surround,
    to_frame,
    to_unit,
    unit_maps,
)
from mover_ray.forge.masks import (
    HULLS,
    Edge,
    Waves,
    ellipse_outline,
    hull_outline,
    place,
    rectangle_outline,
)
from mover_ray.forge.warping import piecewise_map, triangulate, warp_points
from tests.forge.samples import face_points, make_clip, pair, place_points

SIDES, TURNS = st.floats(20, 300), st.floats(-0.6, 0.6)
CLIP = make_clip()


def test_mirroring_twice_gives_every_landmark_back():
    assert np.array_equal(MIRRORED[MIRRORED], np.arange(68))
    points = face_points()
    mirrored = points[MIRRORED] * (-1, 1) + (1, 0)
    assert np.allclose(mirrored, points, atol=1e-6)


@given(side=SIDES, turn=TURNS)
def test_unit_coordinates_forget_place_size_and_turn(side, turn):
    upright, placed = face_points(), place_points(face_points(), side, (90, 70), turn)
    assert np.allclose(to_unit(upright[None]), to_unit(placed[None]), atol=1e-4)


@given(side=SIDES, turn=TURNS)
def test_points_come_back_from_unit_coordinates(side, turn):
    landmarks = place_points(face_points(), side, (90, 70), turn)[None]
    back = to_frame(unit_maps(landmarks), to_unit(landmarks))
    assert np.allclose(back, landmarks, atol=0.01)


def test_the_frame_around_a_face_holds_it():
    points = surround(CLIP.landmarks)
    assert points.shape == (4, 80, 2)
    for face, frame in zip(points[:, :68], points[:, 68:], strict=True):
        hull = cv2.convexHull(frame)
        assert all(
            cv2.pointPolygonTest(hull, point.tolist(), measureDist=False) > 0 for point in face
        )


def test_smoothing_keeps_what_is_constant_and_calms_what_trembles():
    series = np.random.default_rng(0).normal(0, 1, (50, 3, 2)).astype(np.float32)
    assert np.allclose(smooth(np.ones_like(series), 2.0), 1, atol=1e-6)
    assert smooth(series, 2.0).std() < 0.5 * series.std()
    assert smooth(series, 0.0) is series
    assert smooth(series[:1], 2.0).shape == (1, 3, 2)


def test_a_triangulation_covers_its_hull_once():
    points = np.concatenate([to_unit(CLIP.landmarks)[0], FRAME])
    corners = points[triangulate(points)]
    edges = corners[:, 1:] - corners[:, :1]
    areas = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]) / 2
    hull = cv2.contourArea(cv2.convexHull(points))
    assert areas.sum() == pytest.approx(hull, rel=1e-3)


@settings(max_examples=25)
@given(
    angle=st.floats(-0.4, 0.4),
    scale=st.floats(0.7, 1.4),
    shift=st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
)
def test_a_piecewise_map_of_affinely_moved_points_is_that_affine_map(angle, scale, shift):
    target = surround(CLIP.landmarks)[0]
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = (target @ turn.T + shift).astype(np.float32)
    found = piecewise_map(target, source, mesh(CLIP.landmarks), (128, 112))
    pixels = np.stack(np.meshgrid(np.arange(128), np.arange(112)), axis=-1)
    mask = cv2.fillConvexPoly(
        np.zeros((112, 128), np.uint8), cv2.convexHull(target.astype(np.int32)), 1
    )
    inside = cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0
    assert np.abs(found - (pixels @ turn.T + shift))[inside].max() < 0.02


@pytest.mark.parametrize("enlarged", [1, 4])
def test_warping_back_to_where_points_were_gives_the_picture_back(enlarged):
    frame, points = CLIP.frames[0], surround(CLIP.landmarks)[0]
    smooth_frame = cv2.GaussianBlur(frame, (0, 0), 3)
    size = (128 * enlarged, 112 * enlarged)
    big = cv2.resize(smooth_frame, size, interpolation=cv2.INTER_CUBIC)
    source = (points + 0.5) * enlarged - 0.5
    picture = warp_points(big, source, points, mesh(CLIP.landmarks), (128, 112))
    difference = np.abs(picture.astype(int) - smooth_frame)[30:90, 30:100]
    assert difference.mean() < 1.5


def test_flat_triangles_are_passed_over():
    target = surround(CLIP.landmarks)[0]
    target[60:68] = target[60]
    assert np.isfinite(piecewise_map(target, target, mesh(CLIP.landmarks), (128, 112))).all()


@settings(max_examples=40)
@given(
    hull=st.sampled_from(HULLS),
    seed=st.integers(0, 999),
    side=st.floats(20, 150),
    centre=st.tuples(st.floats(-20, 150), st.floats(-20, 130)),
    edge=st.builds(Edge, st.floats(0, 0.1), st.floats(0.02, 0.6)),
)
def test_a_mask_is_soft_bounded_and_ends_before_its_region(hull, seed, side, centre, edge):
    landmarks = place_points(face_points(), side, centre)[None]
    waves = Waves.draw(np.random.default_rng(seed), 0.2)
    outline = waves.apply(hull_outline(to_unit(landmarks)[0], hull, 0.2))
    frame = CLIP.frames[0]
    region, mask = place(outline, unit_maps(landmarks)[0], edge, frame)
    assert 0 <= region.left < region.right <= 128
    assert 0 <= region.top < region.bottom <= 112
    assert mask.shape == region.size[::-1]
    assert mask.dtype == np.float32
    assert np.isfinite(mask).all()
    assert mask.min() >= 0
    assert mask.max() <= 1
    inner = [
        (region.left > 0, mask[:, 0]),
        (region.right < 128, mask[:, -1]),
        (region.top > 0, mask[0]),
        (region.bottom < 112, mask[-1]),
    ]
    assert not any(edge.any() for free, edge in inner if free)


@pytest.mark.parametrize(
    ("outline", "area"),
    [
        (ellipse_outline(pair(*[0.5, 0.5]), pair(*[0.3, 0.2])), np.pi * 0.06),
        (rectangle_outline(pair(*[0.2, 0.1]), pair(*[0.8, 0.9])), 0.48),
    ],
)
def test_a_mask_is_as_large_as_its_outline(outline, area):
    landmarks = place_points(face_points(), 60.0, (64, 56))[None]
    to_unit_ = unit_maps(landmarks)[0]
    _, mask = place(outline, to_unit_, Edge(0.02, 0.02), CLIP.frames[0])
    side_px = 1 / np.sqrt(np.linalg.det(to_unit_[:, :2]))
    # OpenCV fills the pixels that the outline runs through as well.
    border = np.hypot(*np.diff(outline, axis=0, append=outline[:1]).T).sum() * side_px / 2
    found = int((mask > 0.49).sum())
    assert area * side_px**2 <= found <= area * side_px**2 + 1.5 * border


def test_waves_of_no_height_change_nothing_and_others_stay_small():
    outline = ellipse_outline(pair(*[0.5, 0.5]), pair(*[0.4, 0.4]))
    rng = np.random.default_rng(0)
    assert np.allclose(Waves.draw(rng, 0.0).apply(outline), outline, atol=1e-6)
    for _ in range(50):
        radius = np.hypot(*(Waves.draw(rng, 0.2).apply(outline) - 0.5).T)
        assert np.abs(radius / 0.4 - 1).max() <= 0.2 + 1e-6
