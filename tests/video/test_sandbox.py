import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import Frame, SampledVideo, VideoReader
from tests.video.fault_server import FRAMES, INFO
from tests.video.media import decode_all, encode, picture

FAULTS = "tests.video.fault_server"
POLICY = SamplingPolicy(policy="uniform", frames=8)
QUICK = VideoBudget(wall_s=1.5, cpu_s=1, memory_mib=64, max_pixels=100_000)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="enforced on Linux only")


@pytest.fixture(scope="module")
def reader() -> Iterator[VideoReader]:
    with VideoReader(VideoBudget()) as opened:
        yield opened


@pytest.fixture(scope="module")
def faulty() -> Iterator[VideoReader]:
    with VideoReader(QUICK, server_module=FAULTS) as opened:
        yield opened


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return encode(tmp_path / "v.mp4", [picture(index) for index in range(50)])


def run(reader: VideoReader, path: Path) -> tuple[SampledVideo, list[Frame]]:
    with path.open("rb") as file, reader.open(file.fileno(), POLICY, b"k") as video:
        return video, list(video)


def play(reader: VideoReader, folder: Path, **script: Any) -> tuple[SampledVideo, list[Frame]]:
    path = folder / "script.json"
    path.write_text(json.dumps({"before": FRAMES, "fault": None, **script}), encoding="utf-8")
    return run(reader, path)


def refusal(reader: VideoReader, folder: Path, **script: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        play(reader, folder, **script)
    return caught.value


def test_frames_are_those_of_a_plain_decode(reader: VideoReader, clip: Path) -> None:
    video, frames = run(reader, clip)
    expected = [image for _, image in decode_all(clip)]
    assert [frame.index for frame in frames] == [3, 9, 15, 21, 28, 34, 40, 46]
    for frame in frames:
        np.testing.assert_array_equal(frame.image, expected[frame.index])
        assert frame.image.flags.c_contiguous
        assert frame.image.flags.owndata
        assert frame.time_s == pytest.approx(frame.index / 25)
    assert (video.num_sampled, video.attempts, video.flags) == (8, 1, ())
    assert (video.info.width, video.info.height, video.info.num_frames) == (64, 48, 50)
    assert video.max_gap_s == pytest.approx(0.28)
    assert 0 < video.decode_ms < 10_000


def test_the_offset_of_the_callers_descriptor_stays(reader: VideoReader, clip: Path) -> None:
    with clip.open("rb", buffering=0) as file:
        file.seek(7)
        with reader.open(file.fileno(), POLICY, b"k") as video:
            assert len(list(video)) == 8
        assert file.tell() == 7


def test_refusals_come_with_their_status(reader: VideoReader, tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    for data, status in (
        (b"", Status.CORRUPT),
        (b"hello", Status.UNSUPPORTED),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", Status.CORRUPT),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError) as caught:
            run(reader, path)
        assert caught.value.status == status


def test_a_large_file_is_refused_unread(clip: Path) -> None:
    with VideoReader(VideoBudget(max_bytes=clip.stat().st_size - 1)) as small:
        with pytest.raises(InputError, match="bytes are over the limit") as caught:
            run(small, clip)
        assert caught.value.status == Status.TOO_LARGE


@pytest.mark.parametrize("before", [-1, 0, 3])
def test_a_crash_costs_one_row_after_two_attempts(
    before: int, faulty: VideoReader, tmp_path: Path
) -> None:
    script = {"fault": "signal", "number": int(signal.SIGSEGV), "always": True}
    error = refusal(faulty, tmp_path, before=before, **script)
    assert error.status == Status.CRASHED
    assert str(error) == "decoder ended by signal 11 (SIGSEGV), 2 attempts"
    assert len(play(faulty, tmp_path)[1]) == FRAMES


@pytest.mark.parametrize("before", [1, 3, FRAMES - 1])
def test_a_crash_that_does_not_come_back_leaves_no_trace_in_the_frames(
    before: int, faulty: VideoReader, tmp_path: Path
) -> None:
    clean = play(faulty, tmp_path)[1]
    video, frames = play(faulty, tmp_path, fault="signal", number=6, before=before)
    assert [(f.index, f.time_s, f.group) for f in frames] == [
        (f.index, f.time_s, f.group) for f in clean
    ]
    for frame, twin in zip(frames, clean, strict=True):
        np.testing.assert_array_equal(frame.image, twin.image)
    assert (video.attempts, video.flags) == (2, ("played",))


@pytest.mark.parametrize("before", [-1, 2])
def test_a_decoder_that_hangs_is_ended_in_time(
    before: int, faulty: VideoReader, tmp_path: Path
) -> None:
    started = time.monotonic()
    error = refusal(faulty, tmp_path, fault="hang", before=before)
    assert error.status == Status.TIMEOUT
    assert str(error) == "decoding takes more than 1.5 s"
    assert 1.4 < time.monotonic() - started < 3.5
    assert len(play(faulty, tmp_path)[1]) == FRAMES


def test_a_decoder_that_computes_for_ever_is_ended(tmp_path: Path) -> None:
    budget = VideoBudget(wall_s=30, cpu_s=1)
    with VideoReader(budget, server_module=FAULTS) as patient:
        error = refusal(patient, tmp_path, fault="spin", before=1)
    assert error.status == Status.TIMEOUT
    assert str(error) == "decoding takes more than 1 s of CPU time"


@linux_only
def test_memory_is_bounded(faulty: VideoReader, tmp_path: Path) -> None:
    error = refusal(faulty, tmp_path, fault="allocate", before=2)
    assert error.status == Status.OUT_OF_MEMORY
    assert str(error) == "decoding needs more than 64 MiB"


@linux_only
def test_ffmpeg_without_memory_is_not_called_corrupt(tmp_path: Path) -> None:
    large = [np.full((1080, 1920, 3), index, dtype=np.uint8) for index in range(3)]
    path = encode(tmp_path / "v.mp4", large, options={"preset": "ultrafast"})
    outcomes: dict[int, object] = {}
    for memory_mib in (16, 18, 20, 24, 64):
        with VideoReader(VideoBudget(memory_mib=memory_mib)) as reader:
            try:
                video, frames = run(reader, path)
                outcomes[memory_mib] = (len(frames), video.flags)
            except InputError as error:
                outcomes[memory_mib] = error.status
    assert set(outcomes.values()) == {Status.OUT_OF_MEMORY, (3, ())}
    assert (outcomes[16], outcomes[64]) == (Status.OUT_OF_MEMORY, (3, ()))


WITHOUT_TIME = b'\0\0\0\x1c{"kind": "end", "flags": []}'


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ({"fault": "exit"}, "decoder exited with code 3, 2 attempts"),
        ({"fault": "raise"}, "the decoder failed: ZeroDivisionError: a bug"),
        ({"fault": "raw", "bytes": "ffffffff"}, "the decoder sent a malformed message"),
        ({"fault": "raw", "bytes": "00000003616263"}, "the decoder sent a malformed message"),
        ({"fault": "raw", "bytes": "000000025b5d"}, "the decoder sent a malformed message"),
        ({"fault": "raw", "bytes": WITHOUT_TIME.hex()}, "the decoder sent a malformed message"),
        ({"fault": "send", "message": {"kind": "?"}}, "the decoder sent a malformed message"),
    ],
)
def test_other_failures(
    script: dict[str, Any], text: str, faulty: VideoReader, tmp_path: Path
) -> None:
    error = refusal(faulty, tmp_path, before=2, always=True, **script)
    assert error.status == Status.CRASHED
    assert str(error).startswith(text)


GOOD_FRAME = {
    "kind": "frame",
    "index": 2,
    "time_s": 2.0,
    "groups": [1],
    "height": 20,
    "width": 30,
}


@pytest.mark.parametrize(
    "change",
    [
        {"height": 2**20},
        {"height": 0},
        {"height": -20, "width": -30},
        {"width": 30.5},
        {"width": None},
        {"index": 1},
        {"index": 2**70},
        {"time_s": float("nan")},
        {"groups": [True]},
        {"groups": [None]},
        {"groups": [1, 1]},
        {"groups": 1},
        {"kind": "end", "flags": [3]},
        {"kind": ["info"]},
        {"kind": "end", "flags": ["x" * 5000]},
        {"kind": "error", "status": "ok", "text": ""},
        {"kind": "info", "info": {"duration_s": "long"}},
        {"kind": "info", "info": {}, "num_sampled": 1, "max_gap_s": 0.0},
    ],
)
def test_what_a_poisoned_child_says_is_not_believed(
    change: dict[str, Any], faulty: VideoReader, tmp_path: Path
) -> None:
    message = {**GOOD_FRAME, **change}
    error = refusal(faulty, tmp_path, before=2, always=True, fault="send", message=message)
    assert error.status == Status.CRASHED
    assert str(error) == "the decoder sent a malformed message, 2 attempts"


def test_a_poisoned_child_cannot_send_frames_without_end(
    faulty: VideoReader, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="malformed message"):
        play(faulty, tmp_path, fault="flood", before=0, always=True)


def test_texts_of_a_child_hold_no_control_letters(faulty: VideoReader, tmp_path: Path) -> None:
    message = {"kind": "error", "status": "corrupt", "text": "a\x1b[2Jb\nc"}
    error = refusal(faulty, tmp_path, before=0, fault="send", message=message)
    assert (error.status, str(error)) == (Status.CORRUPT, "a [2Jb c")


def test_the_time_of_the_caller_is_not_the_decoders(faulty: VideoReader, tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"before": FRAMES, "fault": None}), encoding="utf-8")
    with path.open("rb") as file, faulty.open(file.fileno(), POLICY, b"k") as video:
        for _ in video:
            time.sleep(QUICK.wall_s / 3)
    assert video.flags == ("played",)


@linux_only
def test_the_death_of_the_server_is_survived(tmp_path: Path) -> None:
    others = child_processes()
    with VideoReader(QUICK, server_module=FAULTS) as reader:
        play(reader, tmp_path)
        [server] = child_processes() - others
        os.kill(int(server), signal.SIGKILL)
        video, frames = play(reader, tmp_path)
        assert len(frames) == FRAMES
        # The child of a sandbox that is just dying may take the video yet.
        assert video.attempts <= 2
        assert server not in child_processes()


def test_the_death_of_the_server_during_a_video_costs_an_attempt(tmp_path: Path) -> None:
    with VideoReader(QUICK, server_module=FAULTS) as reader:
        video, frames = play(reader, tmp_path, fault="kill_server", before=3)
        assert ([frame.index for frame in frames], video.attempts) == (list(range(FRAMES)), 2)
        error = refusal(reader, tmp_path, fault="kill_server", before=3, always=True)
        assert error.status == Status.CRASHED
        assert str(error).startswith("the decode server has ended, 2 attempts")


def test_one_video_at_a_time(reader: VideoReader, clip: Path) -> None:
    with clip.open("rb") as file, reader.open(file.fileno(), POLICY, b"k") as video:
        with pytest.raises(RuntimeError, match="still open"):
            reader.open(file.fileno(), POLICY, b"k")
        assert len(list(video)) == 8
    with pytest.raises(RuntimeError, match="closed"):
        next(iter(video))


def test_leaving_early_ends_the_child(reader: VideoReader, clip: Path) -> None:
    for _ in range(3):
        with clip.open("rb") as file, reader.open(file.fileno(), POLICY, b"k") as video:
            next(iter(video))
    assert len(run(reader, clip)[1]) == 8


@linux_only
def test_nothing_is_left_behind(clip: Path, tmp_path: Path) -> None:
    gc.collect()
    descriptors, processes = open_descriptors(), child_processes()
    with VideoReader(QUICK) as reader, VideoReader(QUICK, server_module=FAULTS) as faulty:
        run(reader, clip)
        for fault in ("signal", "hang", "kill_server", "exit"):
            refusal(faulty, tmp_path, fault=fault, number=11, before=1, always=True)
        with clip.open("rb") as file, reader.open(file.fileno(), POLICY, b"k"):
            pass
    assert open_descriptors() == descriptors
    assert child_processes() == processes


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def child_processes() -> set[str]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {pid for task in tasks for pid in task.read_text(encoding="ascii").split()}


_ORPHAN_MAKER = """
import os, sys, time
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader
descriptor = os.open(sys.argv[1], os.O_RDONLY)
reader = VideoReader(VideoBudget())
video = reader.open(descriptor, SamplingPolicy(), b"k")
print("open", flush=True)
time.sleep(60)
"""


@linux_only
def test_the_server_and_its_child_die_with_their_parent(clip: Path) -> None:
    command = [sys.executable, "-c", _ORPHAN_MAKER, str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "open\n"
        family = descendants(parent.pid)
        assert len(family) >= 2
        parent.kill()
    deadline = time.monotonic() + 5
    while any(is_running(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in family if is_running(pid)] == []


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [found for child in map(int, children) for found in [child, *descendants(child)]]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_child_opens_nothing_and_knows_no_secret(
    faulty: VideoReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with VideoReader(QUICK, server_module=FAULTS) as fresh:
        flags = play(fresh, tmp_path, fault="escape")[0].flags
    allowed = {"PYTHONPATH", "OPENBLAS_NUM_THREADS", "LD_LIBRARY_PATH", "PYTHONHOME", "PWD"}
    allowed |= {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"}
    assert {flag for flag in flags if not flag.startswith("environment:")} == set()
    assert {flag.removeprefix("environment:") for flag in flags} <= allowed


def test_info_is_carried_whole(faulty: VideoReader, tmp_path: Path) -> None:
    assert play(faulty, tmp_path)[0].info == INFO
