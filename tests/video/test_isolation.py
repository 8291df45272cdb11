"""Each sandbox level that this host offers, put to the test by attack."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mover_ray.errors import ConfigError, InputError
from mover_ray.status import Status
from mover_ray.video import isolation
from mover_ray.video.budget import VideoBudget
from mover_ray.video.isolation import LEVELS, demand_sandbox, sandbox_level
from mover_ray.video.limits import LEVEL_VARIABLE
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader
from tests.video.attacks import FATAL, REFUSED
from tests.video.fault_server import FRAMES
from tests.video.media import decode_all, encode, picture

POLICY = SamplingPolicy(policy="uniform", frames=8)
QUICK = VideoBudget(wall_s=1.5, cpu_s=1, memory_mib=64, max_pixels=100_000)
#: What keeps hijacked decoders in, not just broken ones.
SAFE_LEVELS = LEVELS[:-1]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="levels above rlimits are Linux's")


@pytest.fixture(scope="module", params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    name: str = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LEVEL_VARIABLE, name)
        if sandbox_level() != name:
            pytest.skip(f"this host does not offer the sandbox level {name}")
        yield name


@pytest.fixture(scope="module")
def reader(level: str) -> Iterator[VideoReader]:
    with VideoReader(QUICK, server_module="tests.video.fault_server") as opened:
        yield opened


def play(reader: VideoReader, folder: Path, **script: Any) -> tuple[tuple[str, ...], list[Any]]:
    """Gives the flags of a scripted video, and its frames as comparable values."""
    path = folder / "script.json"
    path.write_text(json.dumps({"before": FRAMES, "fault": None, **script}), encoding="utf-8")
    with path.open("rb") as file, reader.open(file.fileno(), POLICY, b"k") as video:
        frames = [(one.index, one.time_s, one.group, one.image.tobytes()) for one in video]
    return video.flags, frames


def refusal(reader: VideoReader, folder: Path, **script: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        play(reader, folder, **script)
    return caught.value


@pytest.mark.parametrize("level", SAFE_LEVELS, indirect=True, scope="module")
@pytest.mark.parametrize("attack", FATAL)
def test_intruders_are_killed(attack: str, reader: VideoReader, tmp_path: Path) -> None:
    clean = play(reader, tmp_path)
    error = refusal(reader, tmp_path, attack=attack)
    assert error.status == Status.CRASHED
    assert str(error) == "the decoder asked for what the sandbox forbids"
    assert error.attempts == 1
    assert play(reader, tmp_path) == clean


@pytest.mark.parametrize("level", SAFE_LEVELS, indirect=True, scope="module")
@pytest.mark.parametrize("attack", REFUSED)
def test_other_attacks_are_refused(attack: str, reader: VideoReader, tmp_path: Path) -> None:
    clean = play(reader, tmp_path)
    assert play(reader, tmp_path, attack=attack)[0][0] == "refused"
    assert play(reader, tmp_path) == clean


@pytest.mark.parametrize(
    "attack", ["network socket", "local socket", "read file", "list folder", "io_uring"]
)
def test_limits_alone_keep_descriptors_from_being_opened(
    attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, "rlimits")
    with VideoReader(QUICK, server_module="tests.video.fault_server") as reader:
        assert play(reader, tmp_path, attack=attack)[0][0] == "refused"


@pytest.mark.parametrize(
    ("script", "status", "attempts"),
    [
        ({"fault": "signal", "number": 11}, Status.CRASHED, 2),
        ({"fault": "signal", "number": 6}, Status.CRASHED, 2),
        ({"fault": "overrun"}, Status.CRASHED, 2),
        ({"fault": "kill_server"}, Status.CRASHED, 2),
        ({"fault": "flood"}, Status.CRASHED, 2),
        ({"fault": "flood_with_messages"}, Status.CRASHED, 2),
        ({"fault": "hang"}, Status.TIMEOUT, 1),
        ({"fault": "drip"}, Status.TIMEOUT, 1),
        pytest.param({"fault": "allocate"}, Status.OUT_OF_MEMORY, 1, marks=linux_only),
    ],
    ids=lambda value: value["fault"] if isinstance(value, dict) else None,
)
def test_a_decoder_that_goes_wrong_costs_one_row(
    script: dict[str, Any], status: Status, attempts: int, reader: VideoReader, tmp_path: Path
) -> None:
    clean = play(reader, tmp_path)
    error = refusal(reader, tmp_path, before=2, always=True, **script)
    assert (error.status, error.attempts) == (status, attempts)
    assert play(reader, tmp_path) == clean


def test_a_decoder_that_closes_everything_costs_one_row(
    reader: VideoReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mover_ray.video.server_process._ANSWER_S", 2.0)
    reader.close()
    clean = play(reader, tmp_path)
    error = refusal(reader, tmp_path, before=2, always=True, fault="close")
    assert error.status == Status.TIMEOUT
    assert play(reader, tmp_path) == clean


def test_real_videos_are_decoded(level: str, tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", [picture(index) for index in range(20)])
    expected = [image for _, image in decode_all(path)]
    with (
        VideoReader(VideoBudget()) as reader,
        path.open("rb") as file,
        reader.open(file.fileno(), POLICY, b"k") as video,
    ):
        frames = list(video)
    assert len(frames) == 8
    for frame in frames:
        np.testing.assert_array_equal(frame.image, expected[frame.index])


def test_the_variable_can_only_weaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    strongest = LEVELS.index(sandbox_level())
    for index, name in enumerate(LEVELS):
        monkeypatch.setenv(LEVEL_VARIABLE, name)
        assert LEVELS.index(sandbox_level()) >= max(index, strongest)


def test_an_unknown_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, "chroot")
    with pytest.raises(ConfigError, match="names no sandbox level: `chroot`"):
        sandbox_level()


@pytest.mark.parametrize(
    ("working", "expected"), [({"bwrap", "seccomp"}, "bwrap"), ({"seccomp"}, "seccomp")]
)
def test_the_strongest_level_that_works_is_taken(
    working: set[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    monkeypatch.setattr(isolation, "_works", working.__contains__)
    assert sandbox_level() == expected
    demand_sandbox()


def test_a_sandbox_can_be_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, "rlimits")
    with pytest.raises(ConfigError, match="the level is `rlimits`"):
        demand_sandbox()
