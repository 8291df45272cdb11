"""Counts are the same however the rows come, and thresholds count by number of tracks."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.report.summary import BINS, SUMMARY_COLUMNS, Alarm, summarise
from mover_ray.report.words import alarm_sentence
from mover_ray.schemas import RESULT
from tests.made_results import failed, scored

_SCHEMA = pa.schema([RESULT.field(name) for name in SUMMARY_COLUMNS])


def table(rows):
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in SUMMARY_COLUMNS} for row in rows], schema=_SCHEMA
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), max_size=30), st.integers(1, 7))
def test_pieces_give_what_the_whole_gives(scores, size):
    rows = [scored(f"/{number}.mp4", score) for number, score in enumerate(scores)]
    whole = summarise([table(rows)])
    pieces = summarise(table(rows[start : start + size]) for start in range(0, len(rows), size))
    assert whole.histogram.tolist() == pieces.histogram.tolist()
    assert whole.histogram.sum() == len(scores) == pieces.scored
    assert pieces.video_s == pytest.approx(0.5 * len(scores))
    expected, _ = np.histogram(np.array(scores, np.float32), BINS, (0, 1))
    assert abs(np.cumsum(whole.histogram - expected)).max(initial=0) <= len(scores)


def test_failures_are_counted_with_examples_the_most_frequent_first():
    rows = [
        *(failed(f"/{n}.mp4", "corrupt", "moov atom not found") for n in range(3)),
        failed("/3.mp4", "corrupt", "cut"),
        failed("/4.mp4", "timeout", "slow"),
        failed("/5.mp4", "no_face", "no face"),
        scored("/6.mp4", 0.5, trained=False),
    ]
    found = summarise([table(rows)])
    assert found.failures() == [
        ("corrupt", 4, ["moov atom not found", "cut"]),
        ("timeout", 1, ["slow"]),
    ]
    assert (found.videos, found.scored, found.failed, found.untrained) == (7, 1, 5, 1)
    assert found.stages_s["decode"] == pytest.approx(7 * 0.0015)


def test_alarms_count_by_the_threshold_of_the_tracks():
    thresholds = {1: 0.8, 2: 0.9}
    alarm = Alarm(0.01, thresholds.get)
    rows = [
        scored("/1.mp4", 0.8),
        scored("/2.mp4", 0.79),
        scored("/3.mp4", 0.85, num_tracks=2),
        scored("/4.mp4", 0.95, num_tracks=2),
        scored("/5.mp4", 0.99, num_tracks=3),
    ]
    summarise([table(rows)], [alarm])
    assert (alarm.judged, alarm.above) == (4, 2)
    assert "1 % of real videos" in alarm_sentence(alarm)
    assert "2 of 4 scored videos" in alarm_sentence(alarm)
    assert alarm_sentence(alarm).endswith("about 0.0 would be.")
