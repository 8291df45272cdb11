"""Charts are well-formed, say in words what they show, and escape what they are given."""

from xml.etree import ElementTree

import numpy as np

from mover_ray.report import charts
from mover_ray.report.content import Track


def track(track_id, points, score=0.5):
    return Track(track_id=track_id, score=score, points=points, span_s=(0.0, 2.0))


def parsed(svg):
    return ElementTree.fromstring(svg)  # noqa: S314 # our own


def test_the_histogram_has_a_bar_a_bin_as_high_as_its_count():
    svg = parsed(charts.histogram(np.array([0, 5, 10, 0])))
    heights = [float(bar.get("height")) for bar in svg.iter("rect")]
    assert heights[2] == 2 * heights[1]
    assert heights[0] == heights[3] == 0
    assert svg.get("aria-label").startswith("Scores of 15 videos")


def test_an_empty_histogram_and_no_bars_are_drawn_too():
    assert parsed(charts.histogram(np.zeros(20, np.int64))).get("role") == "img"
    assert parsed(charts.bars([], "Nothing")).get("aria-label") == "Nothing: "


def test_texts_are_escaped():
    svg = charts.bars([("<script>", 1.0, '"&')], "a<b")
    assert "<script>" not in svg
    assert [text.text for text in parsed(svg).iter("text")] == ["<script>", '"&']


def test_the_timeline_places_scores_and_draws_the_first_track_last():
    tracks = [track(7, [(0.0, 0.0), (2.0, 1.0)], 0.9), track(3, [(1.0, 0.5)])]
    svg = parsed(charts.timeline(tracks, 2.0))
    groups = [group.get("class") for group in svg.iter("g")]
    assert groups == ["track track-1", "track track-0"]
    dots = list(svg.iter("circle"))
    assert float(dots[1].get("cx")) < float(dots[0].get("cx")) < float(dots[2].get("cx"))
    assert float(dots[2].get("cy")) < float(dots[0].get("cy")) < float(dots[1].get("cy"))
    assert "face 7 scores 0.90, highest at 2.0 s" in svg.get("aria-label")


def test_many_tracks_share_the_last_style_and_an_unscored_one_is_named():
    tracks = [track(n, [(0.0, 0.5)]) for n in range(7)] + [track(9, [], None)]
    svg = parsed(charts.timeline(tracks, 0.0))
    assert {group.get("class") for group in svg.iter("g")} == {
        f"track track-{n}" for n in range(charts.TRACK_STYLES)
    }
    assert "face 9 was not scored" in svg.get("aria-label")
