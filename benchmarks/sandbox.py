"""What the sandbox costs at each level, and what damaged videos cost the sound ones beside them.

    python benchmarks/sandbox.py --data DIR --json FILE [--videos 100]

Figures: `cost_ms`, the CPU milliseconds of a tiny video at each level of this host, decoder and
worker together; `mutants`, how damaged videos ended; `beside_mutants`, the throughput of sound
videos that take turns with damaged ones, as a share of their throughput among themselves, by
wall time and by CPU time. All is measured in turns, so that what disturbs the machine disturbs
every figure alike.
"""

import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import parser, report

from mover_ray.errors import InputError
from mover_ray.video.budget import VideoBudget
from mover_ray.video.isolation import LEVELS, sandbox_level
from mover_ray.video.limits import LEVEL_VARIABLE
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.video.mutants import mutate, small_files, write_samples

_POLICY = SamplingPolicy(policy="uniform", frames=8)
_BUDGET = VideoBudget(wall_s=20, cpu_s=10)
_SOUND = "ffpp/original_sequences/youtube/c40/videos/469.mp4"


def main() -> None:
    arguments = parser("sandbox: cost of each level, and of damaged videos")
    arguments.add_argument("--videos", type=int, default=100, help="videos of each figure")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = write_samples(Path(folder))
        sources = [*made, *small_files(options.data / "decoder")]
        results = {
            "cost_ms": cost_ms(made[0], options.videos),
            **beside_mutants(options.data / _SOUND, sources, options.videos),
        }
    report(results, options.json)


def cost_ms(data: bytes, videos: int) -> dict[str, float]:
    """Gives the median CPU milliseconds of a tiny video at each level that this host has."""
    readers = {}
    for level in LEVELS:
        os.environ[LEVEL_VARIABLE] = level
        if sandbox_level() == level:
            readers[level] = VideoReader(_BUDGET)
            decode(readers[level], data)
    spent_s: dict[str, list[float]] = {level: [] for level in readers}
    for _ in range(videos):
        for level, reader in readers.items():
            spent_s[level].append(decode(reader, data).cpu_s)
    for reader in readers.values():
        reader.close()
    del os.environ[LEVEL_VARIABLE]
    return {level: round(1000 * statistics.median(one), 2) for level, one in spent_s.items()}


def beside_mutants(sound: Path, sources: Sequence[bytes], videos: int) -> dict[str, Any]:
    """Decodes a sound video among its like and between damaged ones, in turns of ten."""
    data = sound.read_bytes()
    alone, beside = [], []
    endings: Counter[str] = Counter()
    with VideoReader(_BUDGET) as reader:
        decode(reader, data)
        for seed in range(videos):
            if seed // 10 % 2:
                endings[decode(reader, mutate(sources, seed)).ending] += 1
                beside.append(decode(reader, data))
            else:
                alone.append(decode(reader, data))
    return {
        "mutants": dict(endings),
        "sound_videos": {"alone": len(alone), "beside": len(beside)},
        "beside_mutants": {
            "by_wall_time": round(median("wall_s", alone) / median("wall_s", beside), 3),
            "by_cpu_time": round(median("cpu_s", alone) / median("cpu_s", beside), 3),
        },
    }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one video took."""

    ending: str
    """Status."""
    cpu_s: float
    wall_s: float


def decode(reader: VideoReader, data: bytes) -> Outcome:
    """Decodes a video; its CPU time is that of the worker and of the child up to its last word."""
    started_s, cpu_s, ending = time.perf_counter(), time.process_time(), "ok"
    child_ms = 0.0
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            with reader.open(file.fileno(), _POLICY, b"k") as video:
                for _ in video:
                    pass
            child_ms = video.decode_ms
        except InputError as error:
            ending = str(error.status)
    cpu_s = time.process_time() - cpu_s + child_ms / 1000
    return Outcome(ending, cpu_s, time.perf_counter() - started_s)


def median(name: str, outcomes: Sequence[Outcome]) -> float:
    values: list[float] = [getattr(outcome, name) for outcome in outcomes]
    return statistics.median(values)


if __name__ == "__main__":
    main()
