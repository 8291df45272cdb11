"""Thousands of videos and any kill later, nothing is left but what was there before."""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.isolation import LEVELS, sandbox_level
from mover_ray.video.limits import LEVEL_VARIABLE
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader
from tests.video.fault_server import FRAMES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

FAULTS = "tests.video.fault_server"
POLICY = SamplingPolicy(policy="uniform", frames=8)
QUICK = VideoBudget(wall_s=20, cpu_s=5, memory_mib=64, max_pixels=2**21)
MIB = 2**20
#: Sound videos, then ones that end in each of the ways that need no waiting.
SCRIPTS: tuple[dict[str, object], ...] = (
    {"fault": None},
    {"fault": None},
    {"fault": "signal", "number": 11, "before": 3},
    {"fault": "exit", "before": 1, "always": True},
    {"fault": "raise", "before": -1},
    {"fault": "raw", "bytes": "ffffffff", "before": 2, "always": True},
)


@pytest.fixture(autouse=True)
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@dataclass(frozen=True)
class Belongings:
    """What a process holds of the system."""

    descriptors: frozenset[str]
    children: frozenset[int]
    threads: int
    shared_memory: frozenset[str]
    temporary: frozenset[str]


def belongings(folder: Path) -> Belongings:
    gc.collect()
    shared = Path("/dev/shm")
    return Belongings(
        descriptors=frozenset(path.name for path in Path("/proc/self/fd").iterdir()),
        children=frozenset(children(os.getpid())),
        threads=count_files("/proc/self/task"),
        shared_memory=frozenset(p.name for p in shared.glob("*mover*")),
        temporary=frozenset(path.name for path in folder.iterdir()),
    )


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text(encoding="ascii").split()]


def descendants(pid: int) -> list[int]:
    return [found for child in children(pid) for found in [child, *descendants(child)]]


def server_process() -> int:
    """Gives the process that forks decoders; the sandbox's own come before it, if any."""
    return next(
        found
        for found in descendants(os.getpid())
        if "python" in Path(f"/proc/{found}/exe").readlink().name
        and FAULTS.encode() in Path(f"/proc/{found}/cmdline").read_bytes()
    )


def count_files(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())


def resident_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def play(reader: VideoReader, path: Path) -> int | Status:
    try:
        with path.open("rb") as file, reader.open(file.fileno(), POLICY, b"k") as video:
            return sum(1 for _ in video)
    except InputError as error:
        return error.status


def write_scripts(folder: Path) -> list[Path]:
    paths = [folder / f"script{index}.json" for index in range(len(SCRIPTS))]
    for path, script in zip(paths, SCRIPTS, strict=True):
        path.write_text(json.dumps({"before": FRAMES, **script}), encoding="utf-8")
    return paths


@pytest.mark.parametrize(
    "videos", [300, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_many_videos_leave_nothing(videos: int, tmp_path: Path, temporary_files: Path) -> None:
    scripts = write_scripts(tmp_path)
    before = belongings(temporary_files)
    with VideoReader(QUICK, server_module=FAULTS) as reader:
        outcomes = [play(reader, scripts[index % len(scripts)]) for index in range(100)]
        assert outcomes[:3] == [FRAMES, FRAMES, FRAMES]
        assert set(outcomes[3 : len(scripts)]) == {Status.CRASHED}
        server = server_process()
        early = belongings(temporary_files), count_files(f"/proc/{server}/fd")
        memory = resident_bytes(os.getpid()), resident_bytes(server)
        for index in range(100, videos):
            play(reader, scripts[index % len(scripts)])
        assert children(server) == []
        assert server_process() == server
        assert (belongings(temporary_files), count_files(f"/proc/{server}/fd")) == early
        assert resident_bytes(os.getpid()) - memory[0] < 4 * MIB
        assert resident_bytes(server) - memory[1] < 2 * MIB
    assert belongings(temporary_files) == before


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    monkeypatch.setenv(LEVEL_VARIABLE, name)
    if sandbox_level() != name:
        pytest.skip(f"this host does not offer the sandbox level {name}")
    return name


@pytest.mark.parametrize("victim", ["child", "server"])
def test_a_kill_costs_an_attempt_and_leaves_nothing(
    victim: str, level: str, tmp_path: Path, temporary_files: Path
) -> None:
    [path, *_] = write_scripts(tmp_path)
    before = belongings(temporary_files)
    with (
        VideoReader(QUICK, server_module=FAULTS) as reader,
        path.open("rb") as file,
        reader.open(file.fileno(), POLICY, b"k") as video,
    ):
        frames = iter(video)
        images = [next(frames).image]
        server = server_process()
        [child] = children(server)
        os.kill({"child": child, "server": server}[victim], signal.SIGKILL)
        await_end([child])
        images += [frame.image for frame in frames]
        assert video.attempts == 2
    assert [int(image[0, 0, 0]) for image in images] == list(range(FRAMES))
    assert belongings(temporary_files) == before


_WORKER = """
import os, sys, time
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader
descriptor = os.open(sys.argv[1], os.O_RDONLY)
reader = VideoReader(VideoBudget(), server_module="tests.video.fault_server")
video = reader.open(descriptor, SamplingPolicy(), b"k")
print("open", flush=True)
time.sleep(60)
"""


def test_nothing_outlives_a_killed_worker(
    level: str, tmp_path: Path, temporary_files: Path
) -> None:
    [path, *_] = write_scripts(tmp_path)
    before = belongings(temporary_files)
    with subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(temporary_files)},
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "open\n"
        family = descendants(worker.pid)
        assert len(family) >= 2
        worker.kill()
    await_end(family)
    assert belongings(temporary_files) == before


def await_end(processes: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(map(is_running, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in processes if is_running(pid)] == []


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"
