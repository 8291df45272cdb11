"""Videos whose bytes come while they are decoded, from a store that may fail."""

import functools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mover_ray.errors import InputError, StorageError
from mover_ray.status import Status
from mover_ray.storage import join, storage_for
from mover_ray.video import range_server
from mover_ray.video.budget import VideoBudget
from mover_ray.video.ranged_object import BLOCK_BYTES, RangedObject
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import Frame, VideoReader
from tests.fault_proxy import Fault, FaultProxy
from tests.video.fault_server import FRAMES
from tests.video.media import encode
from tests.video.range_fault_server import STRIDE

POLICIES = {
    "uniform": SamplingPolicy(policy="uniform", frames=8),
    "keyframes": SamplingPolicy(policy="keyframes", frames=6, max_frames=6),
}
QUICK = VideoBudget(wall_s=3, memory_mib=64, max_pixels=100_000)
#: File name's ending, and the muxer's options.
CONTAINERS = {
    "front": (".mp4", {"movflags": "faststart"}),
    "end": (".mp4", {}),
    "fragments": (".mp4", {"movflags": "frag_keyframe+empty_moov"}),
    "matroska": (".mkv", {}),
    "stream": (".ts", {}),
}


@pytest.fixture(scope="module")
def reader() -> Iterator[VideoReader]:
    with VideoReader(VideoBudget()) as opened:
        yield opened


@pytest.fixture(scope="module")
def faulty() -> Iterator[VideoReader]:
    with VideoReader(QUICK, server_module="tests.video.range_fault_server") as opened:
        yield opened


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of some 4 MB: 120 frames, a keyframe in every 20."""
    noise = np.random.default_rng(0).integers(0, 255, (120, 240, 320, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("clip") / "noise.mp4"
    options = {"preset": "ultrafast", "g": "20", "bf": "2", "qp": "26"}
    return encode(path, list(noise // 2), options=options)


def pack(clip: Path, kind: str) -> Path:
    """Gives the clip's packets in another container."""
    ending, options = CONTAINERS[kind]
    target = clip.with_name(f"{kind}{ending}")
    with av.open(str(clip)) as source, av.open(str(target), "w", options=options) as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    return target


def in_memory(data: bytes) -> RangedObject:
    return RangedObject(lambda start, length: data[start : start + length], len(data))


def in_store(uri: str) -> RangedObject:
    store = storage_for(uri)
    info = store.stat(uri)
    return RangedObject(functools.partial(store.read_range, uri, expect=info), info.size_bytes)


def frames_of(reader: VideoReader, video: int | RangedObject, policy: str) -> list[Frame]:
    with reader.open(video, POLICIES[policy], b"k") as opened:
        return list(opened)


def assert_same(frames: list[Frame], expected: list[Frame]) -> None:
    assert [(f.index, f.time_s, f.group) for f in frames] == [
        (f.index, f.time_s, f.group) for f in expected
    ]
    for frame, twin in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame.image, twin.image)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", CONTAINERS)
def test_frames_by_ranges_are_those_of_the_whole(
    kind: str, policy: str, reader: VideoReader, clip: Path, s3_folder: str
) -> None:
    path = pack(clip, kind)
    uri = join(s3_folder, path.name)
    storage_for(uri).write(uri, path.read_bytes())
    with path.open("rb") as file:
        expected = frames_of(reader, file.fileno(), policy)
    video = in_store(uri)
    assert_same(frames_of(reader, video, policy), expected)
    assert 0 < video.bytes_moved <= path.stat().st_size
    video.close()


def test_a_keyframe_costs_a_part_of_the_bytes(reader: VideoReader, clip: Path) -> None:
    video = in_memory(pack(clip, "front").read_bytes())
    policy = SamplingPolicy(policy="keyframes", frames=1, max_frames=1)
    with reader.open(video, policy, b"k") as opened:
        assert len(list(opened)) == 1
    assert video.bytes_moved < 0.5 * video.size_bytes
    video.close()


def test_bytes_are_brought_while_the_consumer_and_the_store_are_slow(faulty: VideoReader) -> None:
    data = script_of(None)

    def read(start: int, length: int) -> bytes:
        time.sleep(0.02)
        return data[start : start + length]

    video = RangedObject(read, len(data))
    values = []
    with faulty.open(video, POLICIES["uniform"], b"k") as opened:
        for frame in opened:
            time.sleep(0.05)
            values.append(int(frame.image[0, 0, 0]))
    assert values == [data[(index + 1) * STRIDE - 1] for index in range(FRAMES)]
    assert video.waited_ms > 0
    video.close()


def test_another_attempt_finds_the_bytes_of_the_first(reader: VideoReader, clip: Path) -> None:
    data = clip.read_bytes()
    asked: list[int] = []

    def read(start: int, length: int) -> bytes:
        asked.extend(range(start, start + length, BLOCK_BYTES))
        return data[start : start + length]

    video = RangedObject(read, len(data))
    expected = frames_of(reader, video, "uniform")
    assert_same(frames_of(reader, video, "uniform"), expected)
    assert len(asked) == len(set(asked))
    video.close()


def script_of(fault: str | None, **more: Any) -> bytes:
    """Gives the bytes of a "video" for `range_fault_server`."""
    line = json.dumps({"fault": fault, **more}).encode().ljust(200)
    return line + np.random.default_rng(1).bytes(FRAMES * STRIDE)


def refusal(reader: VideoReader, video: RangedObject) -> InputError:
    with pytest.raises(InputError) as caught, reader.open(video, POLICIES["uniform"], b"k") as it:
        list(it)
    video.close()
    return caught.value


SIZE = 200 + FRAMES * STRIDE


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "read", "start": -5, "stop": 5},
        {"kind": "read", "start": 5, "stop": 5},
        {"kind": "read", "start": 9, "stop": 5},
        {"kind": "read", "start": 0, "stop": SIZE + 1},
        {"kind": "read", "start": SIZE, "stop": SIZE + 9},
        {"kind": "read", "start": 0, "stop": 2**70},
        {"kind": "read", "start": 0.0, "stop": 5},
        {"kind": "read", "start": False, "stop": True},
        {"kind": "read", "stop": 5},
        {"kind": "plan", "spans": [[0, SIZE + 1]]},
        {"kind": "plan", "spans": [[0, 5, 9]]},
        {"kind": "plan", "spans": {"0": 5}},
        {"kind": ["read"]},
        {},
    ],
)
def test_a_request_that_makes_no_sense_ends_the_attempt(
    message: dict[str, Any], faulty: VideoReader
) -> None:
    error = refusal(faulty, in_memory(script_of("ask", message=message)))
    assert error.status is Status.CRASHED
    assert str(error) == "the decoder sent a malformed message, 2 attempts"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("flood", Status.CRASHED),
        ("plans", Status.CRASHED),
        ("deaf", Status.TIMEOUT),
        ("hang_up", Status.TIMEOUT),
    ],
)
def test_a_child_cannot_keep_the_worker_busy(
    fault: str, status: Status, faulty: VideoReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_server, "_SPARE_REQUESTS", 2000)
    threads = threading.active_count()
    assert refusal(faulty, in_memory(script_of(fault))).status is status
    assert_all_end(threads)
    assert len(frames_of(faulty, in_memory(script_of(None)), "uniform")) == FRAMES


def assert_all_end(threads: int) -> None:
    for _ in range(1000):
        if threading.active_count() <= threads:
            return
        time.sleep(0.005)
    pytest.fail(f"threads are left: {threading.enumerate()}")


def test_bytes_that_are_no_message_end_the_attempt(faulty: VideoReader) -> None:
    for text in ("ffffffff", "00000003616263", "000000025b5d"):
        error = refusal(faulty, in_memory(script_of("raw", bytes=text)))
        assert error.status is Status.CRASHED
        assert str(error).startswith("the decoder sent a malformed message")


def fails_from(data: bytes, first: int, failure: Exception) -> Callable[[int, int], bytes]:
    def read(start: int, length: int) -> bytes:
        if start + length > first:
            raise failure
        return data[start : start + length]

    return read


@pytest.mark.parametrize("status", [Status.FETCH_ERROR, Status.CHANGED, Status.ACCESS_DENIED])
def test_what_the_store_says_in_the_middle_is_what_the_row_says(
    status: Status, faulty: VideoReader
) -> None:
    data = script_of(None)
    video = RangedObject(fails_from(data, 900_000, StorageError(status, "gone")), len(data))
    delivered: list[int] = []
    with (
        pytest.raises(InputError, match=r"^gone$") as caught,
        faulty.open(video, POLICIES["uniform"], b"k") as opened,
    ):
        delivered.extend(frame.index for frame in opened)
    assert caught.value.status is status
    # The decoder is a frame or two ahead of its consumer.
    assert delivered in ([], [0], [0, 1])
    video.close()


def test_a_child_that_carries_on_without_its_bytes_is_not_believed(faulty: VideoReader) -> None:
    data = script_of("carry_on", unreadable=900_000)
    failure = StorageError(Status.CHANGED, "changed")
    error = refusal(faulty, RangedObject(fails_from(data, 900_000, failure), len(data)))
    assert (error.status, str(error)) == (Status.CHANGED, "changed")


def test_a_bug_in_reading_is_no_row(faulty: VideoReader) -> None:
    data = script_of(None)
    video = RangedObject(fails_from(data, 900_000, ZeroDivisionError("a bug")), len(data))
    with (
        pytest.raises(ZeroDivisionError, match="a bug"),
        faulty.open(video, POLICIES["uniform"], b"k") as opened,
    ):
        list(opened)
    video.close()


def test_a_large_object_is_refused_unread() -> None:
    with VideoReader(VideoBudget(max_bytes=100)) as small:
        video = in_memory(bytes(101))
        assert refusal(small, video).status is Status.TOO_LARGE
    assert video.bytes_moved == 0


class TestFaultsOfS3:
    """What a real store and a bad network do between two ranges."""

    @pytest.fixture
    def stored(self, clip: Path, s3_folder: str) -> str:
        uri = join(s3_folder, "clip.mp4")
        storage_for(uri).write(uri, pack(clip, "front").read_bytes())
        return uri

    @pytest.mark.parametrize("kind", ["refuse", "reset", "cut"])
    def test_what_passes_is_not_noticed(
        self, kind: Any, stored: str, reader: VideoReader, faults: FaultProxy
    ) -> None:
        expected = frames_of(reader, in_store(stored), "uniform")
        video = in_store(stored)
        faults.inject(Fault(kind, value=1000, times=3))
        assert_same(frames_of(reader, video, "uniform"), expected)
        video.close()

    def test_what_stays_is_a_fetch_error(
        self, stored: str, reader: VideoReader, faults: FaultProxy
    ) -> None:
        video = in_store(stored)
        faults.inject(Fault("refuse", times=1000))
        error = refusal(reader, video)
        assert error.status is Status.FETCH_ERROR
        assert "SlowDown" in str(error)

    def test_an_object_that_is_replaced_meanwhile_is_changed(
        self, stored: str, reader: VideoReader
    ) -> None:
        video = in_store(stored)
        video.require(0, 1)
        data = storage_for(stored).read(stored)
        storage_for(stored).write(stored, data[:-1] + b"?")
        error = refusal(reader, video)
        assert error.status is Status.CHANGED
        assert stored in str(error)
