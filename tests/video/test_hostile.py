"""Files that lure a decoder to other files and addresses, or into taking too much."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader
from tests.video.hostile import LURES, huge_picture, many_frames
from tests.video.media import encode, picture

POLICY = SamplingPolicy(policy="uniform", frames=8)
ROOT = Path(__file__).parents[2]
GIB_IN_MIB = 1024

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="filters system calls")


@pytest.fixture
def canary() -> Iterator[socket.socket]:
    """A server that nobody should call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A video that would be worth finding."""
    return encode(tmp_path / "secret.mp4", [picture(index) for index in range(5)])


def strict_outcome(path: Path) -> dict[str, Any]:
    """Gives what a decoder says that no system call but the allowed ones would survive."""
    command = [sys.executable, "-m", "tests.video.strict_decode", str(path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    outcome: dict[str, Any] = json.loads(run.stdout)
    return outcome


def refusal(path: Path, budget: VideoBudget | None = None) -> InputError:
    with (
        VideoReader(budget or VideoBudget(wall_s=20)) as reader,
        path.open("rb") as file,
        pytest.raises(InputError) as caught,
        reader.open(file.fileno(), POLICY, b"k") as video,
    ):
        list(video)
    return caught.value


@linux_only
@pytest.mark.parametrize("suffix", ["mp4", "m3u8"])
@pytest.mark.parametrize("lure", LURES)
def test_lures_open_no_socket_and_no_file(
    lure: str, suffix: str, canary: socket.socket, secret: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"lure.{suffix}"
    host, port = canary.getsockname()
    path.write_text(LURES[lure](host, port, secret), encoding="ascii")
    outcome = strict_outcome(path)
    assert (outcome["status"], outcome["frames"]) == (Status.UNSUPPORTED, 0)
    assert outcome["cpu_s"] < 1
    with pytest.raises(BlockingIOError):
        canary.accept()


@pytest.mark.parametrize("lure", LURES)
def test_lures_are_unsupported(
    lure: str, canary: socket.socket, secret: Path, tmp_path: Path
) -> None:
    path = tmp_path / "lure.mp4"
    host, port = canary.getsockname()
    path.write_text(LURES[lure](host, port, secret), encoding="ascii")
    error = refusal(path)
    assert (error.status, error.attempts) == (Status.UNSUPPORTED, 1)
    assert "secret" not in str(error)
    with pytest.raises(BlockingIOError):
        canary.accept()


@linux_only
@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("b.mkv", "libx265", "yuv420p10le"),
        ("c.webm", "libvpx-vp9", "yuv420p"),
        ("d.avi", "mjpeg", "yuvj420p"),
        ("e.mp4", "libsvtav1", "yuv420p"),
        ("f.mpg", "mpeg2video", "yuv420p"),
    ],
)
def test_sound_videos_need_no_other_system_call(
    name: str, codec: str, pixel_format: str, tmp_path: Path
) -> None:
    images = [picture(index, 128, 96) for index in range(12)]
    path = encode(tmp_path / name, images, codec=codec, pixel_format=pixel_format)
    assert strict_outcome(path)["frames"] == 8


@linux_only
def test_real_videos_need_no_other_system_call(data_dir: Path) -> None:
    paths = sorted((data_dir / "decoder").iterdir(), key=lambda path: path.stat().st_size)
    outcomes = [strict_outcome(path)["status"] for path in paths[:60:4]]
    assert Status.OK in outcomes


@linux_only
def test_huge_pictures_are_refused_at_once(tmp_path: Path) -> None:
    path = huge_picture(tmp_path, 16000, 16000)
    outcome = strict_outcome(path)
    assert outcome["status"] in (Status.TOO_LARGE, Status.CORRUPT)
    assert (outcome["frames"], outcome["cpu_s"] < 1) == (0, True)
    assert outcome["grown_mib"] < GIB_IN_MIB
    assert refusal(path).status == outcome["status"]


@linux_only
def test_ten_million_frames_are_refused_at_once(tmp_path: Path) -> None:
    path = many_frames(tmp_path, 10_000_000)
    assert path.stat().st_size < 10_000
    outcome = strict_outcome(path)
    assert (outcome["status"], outcome["frames"]) == (Status.TOO_LARGE, 0)
    assert outcome["cpu_s"] < 1
    assert outcome["grown_mib"] < GIB_IN_MIB
    assert refusal(path).status == Status.TOO_LARGE


@pytest.mark.slow
@linux_only
def test_a_true_huge_picture_is_refused_at_once(tmp_path: Path) -> None:
    black = np.full((24000, 16000), 16, dtype=np.uint8)
    path = encode(tmp_path / "v.mp4", [black], options={"preset": "ultrafast"})
    outcome = strict_outcome(path)
    assert (outcome["status"], outcome["frames"]) == (Status.TOO_LARGE, 0)
    assert outcome["cpu_s"] < 1
    assert outcome["grown_mib"] < GIB_IN_MIB


def test_titles_in_any_encoding_do_no_harm(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", [picture(index) for index in range(12)])
    data = path.read_bytes()
    # The name of the encoder, which FFmpeg writes into the container.
    assert data.count(b"Lavf") == 1
    path.write_bytes(data.replace(b"Lavf", b"\xc4\xd6\xff\xfe"))
    with (
        VideoReader(VideoBudget()) as reader,
        path.open("rb") as file,
        reader.open(file.fileno(), POLICY, b"k") as video,
    ):
        assert len(list(video)) == 8
