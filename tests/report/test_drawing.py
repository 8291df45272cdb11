"""Findings are drawn at their place and time, and nowhere else."""

import numpy as np
import pytest

from mover_ray.report.drawing import Overlay, TrackPath, colour_of
from tests.made_results import face, mask, scored

_IMAGE = np.full((384, 512, 3), 128, np.uint8)


def row(**more):
    return {**scored("/a.mp4", 0.9), **more}


def test_a_box_moves_on_the_straight_line_between_two_sightings():
    seen = face(0, [0.5, 0.5], every=25)
    seen["frames"][1]["box"] = [200.0, 90.0, 340.0, 260.0]
    path = TrackPath.of(seen)
    assert np.array_equal(np.asarray(path.box_at(0.5)), [190.0, 90.0, 330.0, 260.0])
    assert np.array_equal(np.asarray(path.box_at(1.2)), [200.0, 90.0, 340.0, 260.0])
    assert path.box_at(1.6) is None
    assert path.box_at(-0.6) is None


def test_the_picture_keeps_its_pixels_where_nothing_was_found():
    out = Overlay(row()).draw(_IMAGE, 0.08)
    assert out.shape == (384 + 32, 512, 3)
    assert (out[300:384] == 128).all()
    assert (out[90:260, 180:182] != 128).any()


def test_heat_shows_at_its_time_only_and_once():
    at = Overlay(row()).draw(_IMAGE, 0.08)[100:200, 200:240]
    later = Overlay(row()).draw(_IMAGE, 0.45)[100:200, 200:240]
    twice = Overlay(row(masks=[mask(0, 2), mask(0, 3)])).draw(_IMAGE, 0.08)[100:200, 200:240]
    assert (at != 128).all(axis=2).mean() > 0.9
    assert (later == 128).all()
    assert (twice == at).all()


def test_the_bar_shows_where_it_is_suspicious_and_where_we_are():
    segments = [{"track_id": 0, "start_s": 0.0, "end_s": 0.25, "score": 1.0}]
    bar = Overlay(row(segments=segments)).draw(_IMAGE, 0.4)[384:]
    assert tuple(bar[20, 100]) == colour_of(1.0)
    assert tuple(bar[20, 350]) != colour_of(1.0)
    assert tuple(bar[20, round(0.8 * 511)]) == (255, 255, 255)


def test_odd_sides_are_cut_and_a_video_without_a_face_is_drawn():
    out = Overlay(row(faces=[], segments=[], masks=[])).draw(_IMAGE[:383, :511], 0.0)
    assert out.shape[0] % 2 == out.shape[1] % 2 == 0


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.4), (0.4, 0.6), (0.6, 1.0)])
def test_a_higher_score_looks_more_alarming(low, high):
    def warmth(score):
        red, green, _ = colour_of(score)
        return red - green

    assert warmth(low) < warmth(high)
    assert len(set(colour_of(None))) == 3
