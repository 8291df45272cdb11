"""A whole run in which only decoding and scoring are made up: what the machinery itself costs.

    python benchmarks/simulation.py --rows 100000 --engine ray --json FILE

Made-up videos go through the real manifest, work list, engine, sink and proof. In place of the
decoder and the detector stand stages that take their times from a recorded distribution and give
rows like those that were recorded; `--speed 0` lets them take no time at all, so that what is left
is the machinery. From that follows how many workers one driver can feed.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from harness import parser, report
from scale import write_inventory

from mover_ray.datasets import manifest as manifests
from mover_ray.pipelines.job import Job, StageSpec
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.ray_config import RayConfig
from mover_ray.pipelines.run import RunOptions, run
from mover_ray.schemas import FACES, RESULT
from mover_ray.stages.base import Row, manifest_columns

#: Deciles of the seconds that 113 real videos of 2 to 30 s took, in one worker on a core that
#: others used, too: decoding and faces, then scoring with the smallest Mover, without a GPU.
_PREPARE_S: Final = (0.59, 1.06, 1.42, 1.73, 2.04, 2.19, 2.5, 2.98, 3.51, 4.21, 7.86)
_SCORE_S: Final = (0.97, 1.68, 2.13, 2.54, 3.11, 3.35, 4.01, 4.63, 5.06, 5.63, 10.82)
#: What one of their rows holds.
_FRAMES, _SEGMENTS, _MASKS, _MASK_BYTES = 29, 7, 3, 359

_IDS: Final = 1 << 62
_MIB = 1 << 20 if sys.platform == "darwin" else 1 << 10


def seconds_of(video_id: int, deciles: tuple[float, ...]) -> float:
    """Gives a video's time: always the same one, spread over videos as it was recorded."""
    share = (video_id * 2654435761 % _IDS) / _IDS
    return float(np.interp(share, np.linspace(0, 1, len(deciles)), deciles))


class MadeUp:
    """Stands for a stage: takes its time, and gives the columns that it is told."""

    def __init__(self, deciles: tuple[float, ...], speed: float, columns: Row) -> None:
        self._deciles = deciles
        self._speed = speed
        self._columns = columns

    def __call__(self, row: Row) -> Row:
        """Waits as long as the recorded stage worked, times `speed`."""
        seconds = seconds_of(row["video_id"], self._deciles)
        if self._speed:
            time.sleep(seconds * self._speed)
        return {**manifest_columns(row), **self._columns, "decode_ms": seconds * 1000}

    def close(self) -> None:
        """Holds nothing."""


def _prepared() -> Row:
    return {"status": "ok", "attempts": 1, "flags": [], "duration_s": 8.4, "crops": []}


def _scored() -> Row:
    box = [10.0, 20.0, 110.0, 120.0]
    frames = [
        {"frame_index": 7 * n, "time_s": 0.28 * n, "box": box, "score": 0.9} for n in range(_FRAMES)
    ]
    place = {"track_id": 0, "frame_index": 7, "time_s": 0.28, "kind": "trained", "box": box}
    png = np.random.default_rng(0).bytes(_MASK_BYTES)
    return {
        **_prepared(),
        "score": 0.5,
        "logit": 0.0,
        "trained": True,
        "num_tracks": 1,
        "faces": [{"track_id": 0, "score": 0.5, "first_s": 0.0, "last_s": 8.0, "frames": frames}],
        "segments": [
            {"track_id": 0, "start_s": 1.0 * n, "end_s": n + 1.0, "score": 0.5}
            for n in range(_SEGMENTS)
        ],
        "masks": [{**place, "height": 224, "width": 224, "png": png}] * _MASKS,
        "model_id": "made-up",
        "model_sha256": "0" * 64,
        "scored_at": datetime.now(UTC),
    }


def made_up_job(speed: float) -> Job:
    """Gives the job `score` with made-up stages."""
    return Job(
        folder="results",
        prepare=StageSpec(
            name="find-faces", build=partial(MadeUp, _PREPARE_S, speed, _prepared()), schema=FACES
        ),
        finish=StageSpec(
            name="score",
            build=partial(MadeUp, _SCORE_S, speed, _scored()),
            schema=RESULT,
            stamp={"config_fingerprint": "0" * 16},
        ),
        identity={"command": "score", "model": "made-up"},
        settings={},
    )


class _Clock(Quiet):
    """Notes when the work began and when the last rows of it were committed."""

    def __init__(self) -> None:
        self.started = self.ended = 0.0

    def start(self, total: int, done: int) -> None:
        del total, done
        self.started = time.perf_counter()

    def finish(self) -> None:
        self.ended = time.perf_counter()


def simulate(work: Path, engine: str, speed: float) -> dict[str, Any]:
    """Runs so many made-up videos; gives what the run took and left."""
    begun = time.perf_counter()
    built = manifests.build(str(work / "inventory" / "2026-01-01T01-00Z" / "manifest.json"))
    clock = _Clock()
    options = RunOptions(
        dest=str(work / "out"),
        engine=engine,
        ray=RayConfig(temp_dir=str(work / "r")),
    )
    summary = run(made_up_job(speed), built, options, clock)
    ended = time.perf_counter()
    worked_s = clock.ended - clock.started
    own = resource.getrusage(resource.RUSAGE_SELF)
    size_bytes = sum(part.stat().st_size for part in (work / "out" / "results").iterdir())
    mean_s = float(
        np.mean([seconds_of(n, _PREPARE_S) for n in built.table["video_id"].to_pylist()])
    )
    return {
        "rows": summary.total,
        "counts": dict(summary.counts),
        "engine": summary.engine,
        "speed": speed,
        "before_s": clock.started - begun,
        "work_s": worked_s,
        "proof_s": ended - clock.ended,
        "videos_per_s": summary.total / worked_s,
        "driver_cpu_s": own.ru_utime + own.ru_stime,
        "driver_rss_mib": own.ru_maxrss / _MIB,
        "files": summary.files,
        "bytes_a_row": size_bytes / summary.total,
        "workers_fed": summary.total / worked_s * mean_s,
    }


def main() -> int:
    """Simulates, prints and writes the figures."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, default=100_000, help="videos (100,000)")
    arguments.add_argument("--engine", choices=["local", "ray"], default="ray")
    arguments.add_argument("--speed", type=float, default=0.0, help="1 takes the recorded times")
    arguments.add_argument("--work", type=Path, help="of the process that runs")
    options = arguments.parse_args()
    if options.work:
        print(json.dumps(simulate(options.work, options.engine, options.speed)))
        return 0
    with tempfile.TemporaryDirectory(prefix="mr-") as name:
        write_inventory(Path(name) / "inventory", options.rows)
        own = [sys.executable, __file__, *sys.argv[1:], "--work", name]
        done = subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True)
    report(json.loads(done.stdout.splitlines()[-1]), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
