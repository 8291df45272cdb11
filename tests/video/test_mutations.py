"""Thousands of damaged videos: each gives frames or a status, none costs the worker anything."""

import hashlib
import random
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader
from tests.video.mutants import mutate, small_files, write_samples

POLICY = SamplingPolicy(policy="uniform", frames=4)
BUDGET = VideoBudget(wall_s=20, cpu_s=10, max_pixels=2**20, memory_mib=512)
PATIENCE_S = 2 * BUDGET.wall_s
STATUSES = {
    Status.OK,
    Status.CORRUPT,
    Status.UNSUPPORTED,
    Status.TOO_LARGE,
    Status.TIMEOUT,
    Status.CRASHED,
    Status.OUT_OF_MEMORY,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return write_samples(tmp_path_factory.mktemp("samples"))


def look(reader: VideoReader, data: bytes, folder: Path) -> Status | str:
    """Gives the status of a video, or a digest of its frames."""
    path = folder / "video"
    path.write_bytes(data)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file, reader.open(file.fileno(), POLICY, b"k") as video:
            for frame in video:
                digest.update(frame.image.tobytes())
    except InputError as error:
        if error.attempts > BUDGET.max_attempts:
            raise
        return error.status
    return digest.hexdigest()


def try_all(sources: list[bytes], seeds: Iterable[int], folder: Path) -> Counter[Status]:
    """Decodes the mutants of some seeds and counts how they ended.

    A failure names its seed: `mutate` makes the same file of it again.
    """
    counts: Counter[Status] = Counter()
    with VideoReader(BUDGET) as reader:
        clean = look(reader, sources[0], folder)
        for seed in seeds:
            started = time.monotonic()
            try:
                outcome = look(reader, mutate(sources, seed), folder)
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
            assert time.monotonic() - started < PATIENCE_S, f"seed {seed} takes too long"
            status = outcome if isinstance(outcome, Status) else Status.OK
            assert status in STATUSES, f"seed {seed} is called {status}"
            counts[status] += 1
        assert look(reader, sources[0], folder) == clean
    return counts


def test_a_seed_gives_the_same_file_every_time(made: list[bytes]) -> None:
    assert [mutate(made, seed) for seed in range(50)] == [mutate(made, seed) for seed in range(50)]
    assert len({mutate(made, seed) for seed in range(500)}) > 450


def test_mutants_of_made_videos(made: list[bytes], tmp_path: Path) -> None:
    counts = try_all(made, range(1000), tmp_path)
    # The damage is neither so small nor so great that only one way through is tried.
    assert counts[Status.OK] > 100
    assert counts[Status.CORRUPT] > 100
    assert counts[Status.UNSUPPORTED] > 10


def test_mutants_of_real_videos(made: list[bytes], data_dir: Path, tmp_path: Path) -> None:
    real = small_files(data_dir / "decoder")
    counts = try_all([*made, *real], range(10_000, 11_000), tmp_path)
    assert counts[Status.OK] > 100
    assert counts[Status.CORRUPT] > 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("start", range(20_000, 30_000, 1000))
def test_many_mutants(start: int, made: list[bytes], data_dir: Path, tmp_path: Path) -> None:
    real = small_files(data_dir / "decoder")
    assert try_all([*made, *real], range(start, start + 1000), tmp_path).total() == 1000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mutants_of_a_new_seed(made: list[bytes], tmp_path: Path) -> None:
    start = random.SystemRandom().randrange(10**9)
    assert try_all(made, range(start, start + 500), tmp_path).total() == 500
