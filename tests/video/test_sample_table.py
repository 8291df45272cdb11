"""The table from an MP4 file's header equals what demuxing the file finds."""

import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mover_ray.errors import InputError
from mover_ray.video.budget import VideoBudget
from mover_ray.video.decoder import PacketReader
from mover_ray.video.frame_index import index_packets
from mover_ray.video.packet_scan import scan_packets
from mover_ray.video.packet_table import PacketTable, VideoPacket
from mover_ray.video.sample_table import calibrate, read_sample_table
from mover_ray.video.source import open_source
from tests.video.media import CountingFile, encode, picture, remux

_OPEN_GOPS = "open-gop=1:bframes=4:b-pyramid=normal:b-adapt=0:keyint=12:scenecut=0"


def by_header(content: bytes) -> PacketTable | None:
    file = CountingFile(content)
    source = open_source(file.binary, VideoBudget())
    table = read_sample_table(source, file.binary, VideoBudget())
    return None if table is None else calibrate(table, PacketReader(source).peek())


def by_packets(content: bytes) -> PacketTable | None:
    source = open_source(CountingFile(content).binary, VideoBudget())
    return scan_packets(source, VideoBudget()).table


def assert_same(found: PacketTable, expected: PacketTable) -> None:
    for name in ("pts", "keyframes", "shown", "positions", "sizes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def video(folder: Path, name: str = "v.mp4", **options: str) -> Path:
    return encode(folder / name, [picture(index) for index in range(60)], options=options)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return video(tmp_path, bf="3", g="12", sc_threshold="0")


CASES: dict[str, Callable[[Path], Path]] = {
    "closed groups": lambda folder: video(folder, bf="3", g="12"),
    "open groups": lambda folder: video(folder, **{"x264-params": _OPEN_GOPS}),
    "no reordering": lambda folder: video(folder, bf="0", g="12"),
    "keyframes alone": lambda folder: video(folder, g="1"),
    "quicktime": lambda folder: video(folder, "v.mov", bf="2", g="12"),
    "header first": lambda folder: remux(
        video(folder, bf="2"), folder / "f.mp4", {"movflags": "faststart"}
    ),
    "edit list that hides frames": lambda folder: remux(
        video(folder, bf="2"), folder / "e.mp4", start=-5 * 512
    ),
    "edit list that waits": lambda folder: remux(
        video(folder, bf="2"), folder / "w.mp4", start=30 * 512
    ),
    "version 1 of the offsets": lambda folder: remux(
        video(folder, bf="2"), folder / "n.mp4", {"movflags": "negative_cts_offsets"}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_header_tells_the_same_as_all_packets(name: str, tmp_path: Path) -> None:
    content = CASES[name](tmp_path).read_bytes()
    found, expected = by_header(content), by_packets(content)
    assert found is not None
    assert expected is not None
    assert len(found.pts) == 60
    assert_same(found, expected)


def test_real_files_give_the_same_frames(data_dir: Path) -> None:
    compared = 0
    faces = sorted(path for path in data_dir.rglob("*.m*") if path.parent.name != "decoder")
    for path in [*sorted(data_dir.glob("decoder/*.m*")), *faces[::5]]:
        try:
            found = by_header(path.read_bytes())
        except InputError:
            continue
        if found is not None:
            expected = by_packets(path.read_bytes())
            assert expected is not None, path.name
            assert_same(found, expected)
            assert_same_index(path, found, expected)
            compared += 1
    assert compared > 60


def assert_same_index(path: Path, found: PacketTable, expected: PacketTable) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        one, other = index_packets(found, stream), index_packets(expected, stream)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        np.testing.assert_array_equal(one.pts, other.pts)
        np.testing.assert_array_equal(one.packets, other.packets)
        assert (one.last_ticks, one.tick_s, one.fps()) == (
            other.last_ticks,
            other.tick_s,
            other.fps(),
        )


@pytest.mark.parametrize("name", ["v.mkv", "v.ts", "v.avi"])
def test_other_containers_have_no_such_header(name: str, tmp_path: Path) -> None:
    assert by_header(video(tmp_path, name, bf="0").read_bytes()) is None


def test_fragments_are_not_listed_by_the_header(plain: Path, tmp_path: Path) -> None:
    flags = {"movflags": "frag_keyframe+empty_moov"}
    content = remux(plain, tmp_path / "f.mp4", flags).read_bytes()
    assert by_header(content) is None
    assert by_packets(content) is not None


def test_a_cut_file_is_not_believed(plain: Path, tmp_path: Path) -> None:
    content = remux(plain, tmp_path / "f.mp4", {"movflags": "faststart"}).read_bytes()
    assert by_header(content) is not None
    assert by_header(content[:-1]) is None


def test_reading_the_header_leaves_the_packets_unread(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 120, 160, 3), dtype=np.uint8)
    file = CountingFile(encode(tmp_path / "v.mp4", list(noise)).read_bytes())
    source = open_source(file.binary, VideoBudget())
    file.reads.clear()
    position = file.tell()
    assert read_sample_table(source, file.binary, VideoBudget()) is not None
    assert file.tell() == position
    assert file.bytes_read < 3_000 < len(file.content)


def _with_offsets(content: bytes, change: Callable[[bytearray, int], None]) -> bytes:
    data = bytearray(content)
    change(data, data.index(b"ctts") + 4)
    return bytes(data)


def test_offsets_of_another_number_of_samples_are_not_believed(plain: Path) -> None:
    def one_more(data: bytearray, at: int) -> None:
        (samples,) = struct.unpack_from(">I", data, at + 8)
        struct.pack_into(">I", data, at + 8, samples + 1)

    def one_run_less(data: bytearray, at: int) -> None:
        (runs,) = struct.unpack_from(">I", data, at + 4)
        struct.pack_into(">I", data, at + 4, runs - 1)

    content = plain.read_bytes()
    assert by_header(_with_offsets(content, one_more)) is None
    assert by_header(_with_offsets(content, one_run_less)) is None


def test_times_at_the_ends_of_the_scale_do_no_harm() -> None:
    one = np.array([True])
    table = PacketTable(np.array([-(2**62)]), one, one, np.array([8]), np.array([3]))
    first = SimpleNamespace(pts=2**62, pos=8, size=3, is_keyframe=True)
    found = calibrate(table, cast("VideoPacket", first))
    assert found is not None
    assert found.pts == [2**62]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 400), st.binary(min_size=1, max_size=12))
def test_damaged_tables_are_refused_or_left_out(plain: Path, place: int, noise: bytes) -> None:
    content = bytearray(plain.read_bytes())
    start = content.index(b"stts") + place
    content[start : start + len(noise)] = noise
    try:
        found = by_header(bytes(content))
    except (InputError, MemoryError):
        return
    assert found is None or len(found.pts) <= 60
