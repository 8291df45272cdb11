import itertools
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.video.decode_plan import (
    LEAST_SKIPPED,
    DecodePlan,
    Span,
    plan_decoding,
    plan_spans,
    span_extents,
)
from mover_ray.video.packet_table import PacketTable
from mover_ray.video.sampling import Indices


def gops(lengths: list[int], reorder: int, leading: int) -> tuple[Indices, np.ndarray]:
    """Packets of groups in which each run of `reorder` + 1 is stored last frame first.

    As many as `leading` frames of every group but the first are shown before its keyframe.
    """
    pts: list[int] = []
    keyframes: list[bool] = []
    for number, length in enumerate(lengths):
        before = min(leading, length - 1) if number else 0
        key, rest = len(pts) + before, [*range(len(pts), len(pts) + length)]
        rest.remove(key)
        early, late = rest[:before], rest[before:]
        runs = [late[at : at + reorder + 1] for at in range(0, len(late), reorder + 1)]
        pts += [key, *early, *(frame for run in runs for frame in (run[-1], *run[:-1]))]
        keyframes += [True] + [False] * (length - 1)
    return np.array(pts), np.array(keyframes)


@st.composite
def streams(draw: st.DrawFn) -> tuple[Indices, np.ndarray]:
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=8))
    return gops(lengths, draw(st.integers(0, 3)), draw(st.integers(0, 3)))


@st.composite
def choices(draw: st.DrawFn) -> tuple[Indices, np.ndarray, Indices]:
    """A stream and the packets of some of its frames, in display order."""
    pts, keyframes = draw(streams())
    chosen = draw(st.sets(st.integers(0, len(pts) - 1), min_size=1))
    return pts, keyframes, np.array(sorted(chosen, key=lambda packet: pts[packet]))


@given(choices(), st.integers(1, 12))
def test_every_chosen_frame_is_decoded_from_a_clean_start(
    stream: tuple[Indices, np.ndarray, Indices], least_skipped: int
) -> None:
    pts, keyframes, wanted = stream
    spans = plan_spans(pts, keyframes, wanted, least_skipped)
    bounds = [0, *(span.frames for span in spans)]
    assert bounds[-1] == len(wanted)
    for span, (low, high) in zip(spans, itertools.pairwise(bounds), strict=True):
        assert low < high
        assert span.start == 0 or keyframes[span.start]
        assert (wanted[low:high] >= span.start).all()
        assert wanted[low:high].max() == span.stop - 1
        assert span.start == 0 or (pts[wanted[low:high]] >= pts[span.start]).all()


@given(choices(), st.integers(1, 12))
def test_no_packet_is_decoded_twice_and_no_short_gap_is_jumped(
    stream: tuple[Indices, np.ndarray, Indices], least_skipped: int
) -> None:
    pts, keyframes, wanted = stream
    spans = plan_spans(pts, keyframes, wanted, least_skipped)
    stops = [0, *(span.stop for span in spans)]
    for stop, span in zip(stops, spans, strict=False):
        assert span.start == stop == 0 or span.start - stop >= least_skipped


@given(choices())
def test_nothing_is_decoded_that_a_later_keyframe_would_save(
    stream: tuple[Indices, np.ndarray, Indices],
) -> None:
    pts, keyframes, wanted = stream
    spans = plan_spans(pts, keyframes, wanted, 1)
    for span, low in zip(spans, [0, *(span.frames for span in spans)], strict=False):
        later = np.flatnonzero(keyframes[span.start + 1 : span.stop]) + span.start + 1
        needed = wanted[low:]
        for keyframe in later:
            before = wanted[low : span.frames][wanted[low : span.frames] < keyframe]
            needless = (
                len(before) == 0
                and (needed >= keyframe).all()
                and (pts[needed] >= pts[keyframe]).all()
            )
            assert not needless


def test_all_frames_are_one_span_without_a_seek() -> None:
    pts, keyframes = gops([25] * 10, 3, 2)
    assert plan_spans(pts, keyframes, np.argsort(pts)) == (Span(0, 250, 250),)


def test_sparse_frames_cost_what_they_need_of_their_groups() -> None:
    pts, keyframes = gops([250] * 10, 0, 0)
    wanted = np.array([10, 260, 1000, 1001, 2499])
    assert plan_spans(pts, keyframes, wanted) == (
        Span(0, 11, 1),
        Span(250, 261, 2),
        Span(1000, 1002, 4),
        Span(2250, 2500, 5),
    )


def test_a_frame_shown_before_the_keyframe_that_it_is_stored_behind_needs_the_one_before() -> None:
    pts, keyframes = gops([50] * 3, 0, 2)
    leading = int(np.flatnonzero(pts == 100)[0])
    assert (leading > 100, pts[100]) == (True, 102)
    assert plan_spans(pts, keyframes, np.array([leading])) == (Span(50, leading + 1, 1),)
    assert plan_spans(pts, keyframes, np.array([100])) == (Span(100, 101, 1),)


def test_a_keyframe_out_of_order_is_no_start() -> None:
    pts, keyframes = gops([10] * 4, 0, 0)
    pts[20:30] -= 16
    assert plan_spans(pts, keyframes, np.array([25])) == (Span(0, 26, 1),)


@pytest.mark.parametrize(("gap", "spans"), [(LEAST_SKIPPED - 1, 1), (LEAST_SKIPPED, 2)])
def test_a_seek_must_pay(gap: int, spans: int) -> None:
    pts, keyframes = gops([10 + gap, 10], 0, 0)
    assert len(plan_spans(pts, keyframes, np.array([9, 10 + gap]))) == spans


def table(pts: Indices, keyframes: np.ndarray, sizes: Indices, seekable: bool) -> PacketTable:
    positions = 1000 + np.cumsum(sizes) - sizes
    shown = np.ones(len(pts), dtype=np.bool_)
    return PacketTable(pts, keyframes, shown, positions, sizes, pts if seekable else None)


@given(choices(), st.integers(1, 100_000), st.randoms())
def test_the_extents_hold_every_planned_packet_and_no_other_group(
    stream: tuple[Indices, np.ndarray, Indices], scale: int, random: Random
) -> None:
    pts, keyframes, wanted = stream
    sizes = np.array([random.randint(1, scale) for _ in pts])
    packets = table(pts, keyframes, sizes, seekable=True)
    plan = plan_decoding(packets, wanted)
    exact = span_extents(plan.spans, packets.positions, sizes, least_gap=0)
    planned = np.concatenate([np.arange(span.start, span.stop) for span in plan.spans])
    assert sum(end - start for start, end in exact) == sizes[planned].sum()
    assert plan.packets_planned == len(planned)
    assert sizes[planned].sum() <= plan.bytes_planned <= sizes.sum()
    for packet in planned:
        at = packets.positions[packet]
        assert any(low <= at and at + sizes[packet] <= high for low, high in plan.extents)
    assert all(b[0] - a[1] > 64 * 1024 for a, b in itertools.pairwise(plan.extents))


def test_a_container_without_an_index_is_read_without_extents() -> None:
    pts, keyframes = gops([50] * 4, 0, 0)
    packets = table(pts, keyframes, np.full(200, 10), seekable=False)
    plan = plan_decoding(packets, np.array([160]))
    assert plan == DecodePlan((160,), (Span(150, 161, 1),), ())


def test_what_an_edit_list_hides_is_no_start() -> None:
    pts, keyframes = gops([50] * 2, 0, 0)
    shown = np.arange(100) != 50
    sizes = np.full(100, 10)
    packets = PacketTable(pts, keyframes, shown, np.arange(100) * 10, sizes, pts)
    assert plan_decoding(packets, np.array([60])).spans == (Span(0, 61, 1),)
