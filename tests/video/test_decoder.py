from pathlib import Path

import numpy as np
import pytest

from mover_ray.video.budget import VideoBudget
from mover_ray.video.decode_plan import DecodePlan, Span, plan_decoding
from mover_ray.video.decoder import DerailedError, PacketDecoder, SpanDecoder
from mover_ray.video.frame_list import FrameList, list_frames
from mover_ray.video.packet_table import PacketTable
from mover_ray.video.window_file import WindowFile
from tests.video.media import CountingFile, encode, picture


def listed(folder: Path, name: str = "v.mp4", **options: str) -> tuple[FrameList, PacketTable]:
    path = encode(folder / name, [picture(index) for index in range(60)], options=options)
    found = list_frames(
        WindowFile(CountingFile(path.read_bytes()).binary, lambda _: None), VideoBudget()
    )
    assert found.table is not None
    return found, found.table


def spans_of(found: FrameList, table: PacketTable, plan: DecodePlan) -> SpanDecoder:
    return SpanDecoder(found.reader, PacketDecoder(found.source.stream), table, plan)


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_what_nobody_refers_to_is_not_decoded(name: str, tmp_path: Path) -> None:
    options = {"bf": "1", "b_strategy": "0", "g": "60", "sc_threshold": "0"}
    found, table = listed(tmp_path, name, **options)
    last = found.index.packets[59:]
    plan = plan_decoding(table, last)
    assert plan.packets_planned == 60
    times = [frame.pts for frame in spans_of(found, table, plan).decode(plan.spans[0])]
    assert times[-1] == found.index.pts[59]
    assert 30 <= len(times) <= 32


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_a_span_begins_with_its_keyframe(name: str, tmp_path: Path) -> None:
    found, table = listed(tmp_path, name, bf="2", g="10", sc_threshold="0")
    keyframes = np.flatnonzero(table.keyframes)
    plan = plan_decoding(table, keyframes[[2, 5]])
    spans = spans_of(found, table, plan)
    for span, keyframe in zip(plan.spans, keyframes[[2, 5]], strict=True):
        [frame] = spans.decode(span)
        assert (frame.pts, frame.key_frame) == (table.pts[keyframe], True)


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_no_span_begins_with_another_frame(name: str, tmp_path: Path) -> None:
    found, table = listed(tmp_path, name, bf="0", g="20", sc_threshold="0")
    plan = DecodePlan((30,), (Span(30, 31, 1),), ())
    with pytest.raises(DerailedError):
        list(spans_of(found, table, plan).decode(plan.spans[0]))


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_a_span_beyond_the_end_is_refused(name: str, tmp_path: Path) -> None:
    found, table = listed(tmp_path, name, bf="0", g="20", sc_threshold="0")
    plan = DecodePlan((59,), (Span(40, 61, 1),), ())
    with pytest.raises(DerailedError):
        list(spans_of(found, table, plan).decode(plan.spans[0]))
