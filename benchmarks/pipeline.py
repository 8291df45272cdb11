"""A whole run on Ray Data against the same stages in one process; both on all cores.

    python benchmarks/pipeline.py --data DIR --json FILE [--videos 600]

Each engine scores the same archive, made of links to the real videos, with a small untrained
model. Throughput is taken from the first to the last part file, so that the time to start, given
apart, does not count.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from harness import parser, report

_ENGINES = ("local", "ray")
_EVERY_S = 2.0
#: Leaves the first parts out of the question whether memory grows: caches and models fill there.
_WARM_SHARE = 1 / 6
_MODEL = ("--set", "mae.image_px=64", "--set", "mae.size=tiny")
_PROGRAM = str(Path(sys.executable).with_name("mover-ray"))


@dataclass
class MemoryWatch:
    """Samples the memory of a process and of everything that it started."""

    pid: int
    samples: list[dict[str, float]] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "MemoryWatch":
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_S):
            driver_mib, others = _resident_mib(self.pid)
            elapsed_s = round(time.monotonic() - self._started, 1)
            sample = {"t_s": elapsed_s, "driver_mib": driver_mib, "workers_mib": sum(others)}
            self.samples.append({**sample, "largest_worker_mib": max(others, default=0.0)})


def _resident_mib(pid: int) -> tuple[float, list[float]]:
    """Gives the resident memory of a process and of each of its descendants."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True
    )
    rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    family = {pid}
    # A child may be listed before its parent.
    while grown := {child for child, parent, _ in rows if parent in family} - family:
        family |= grown
    resident = {child: kib / 1024 for child, _, kib in rows if child in family}
    return resident.pop(pid, 0.0), list(resident.values())


def make_archive(data: Path, folder: Path, videos: int) -> None:
    """Fills a folder with links to the real videos, as often as it takes."""
    files = sorted((data / "talking").glob("*.mp4")) + sorted((data / "ffpp").rglob("*.mp4"))
    folder.mkdir()
    for number, file in enumerate(islice(cycle(files), videos)):
        (folder / f"{number:05d}.mp4").symlink_to(file.resolve())


def run_engine(engine: str, archive: Path, model: Path, out: Path) -> dict[str, Any]:
    """Scores the archive with one engine; gives its figures."""
    command = [
        *(_PROGRAM, "score", str(archive), "--out", str(out), "--engine", engine),
        *("--model", str(model), "--allow-untrained", "--masks", "none", "--json"),
    ]
    started = time.time()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with MemoryWatch(process.pid) as memory:
        output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"`{' '.join(command)}` ended with {process.returncode}:\n{errors}")
    parts = sorted((out / "results").glob("*.parquet"), key=lambda part: part.stat().st_mtime_ns)
    times = [part.stat().st_mtime for part in parts]
    counted = sum(pq.read_metadata(part).num_rows for part in parts[1:])
    return {
        "total": json.loads(output)["total"],
        "counts": json.loads(output)["counts"],
        "startup_s": times[0] - started,
        "wall_s": times[-1] - started,
        "videos_per_s": counted / (times[-1] - times[0]),
        **_growth(memory.samples),
        "memory": memory.samples,
    }


def _growth(samples: list[dict[str, float]]) -> dict[str, float]:
    """Compares the memory at the end with the memory once everything was warm."""
    warm = samples[int(len(samples) * _WARM_SHARE) :]
    third = max(1, len(warm) // 3)
    figures: dict[str, float] = {}
    for name in ("driver_mib", "largest_worker_mib"):
        early = sorted(sample[name] for sample in warm[:third])[third // 2]
        late = sorted(sample[name] for sample in warm[-third:])[third // 2]
        figures |= {name: late, name.replace("_mib", "_growth_mib"): late - early}
    return figures


def main() -> int:
    """Measures, prints and writes the figures."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--videos", type=int, default=600, help="videos to score (600)")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="mover-ray-bench-") as name:
        work = Path(name)
        archive, model = work / "archive", work / "model"
        make_archive(options.data, archive, options.videos)
        subprocess.run(
            [_PROGRAM, "models", "init", "mover", "--out", str(model), *_MODEL],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        engines = {name: run_engine(name, archive, model, work / name) for name in _ENGINES}
    ray, local = engines["ray"], engines["local"]
    report(
        {
            "pipeline_efficiency": ray["videos_per_s"] / local["videos_per_s"],
            "startup_s": ray["startup_s"],
            "videos_per_s": ray["videos_per_s"],
            "engines": engines,
        },
        options.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
