"""A manifest of a million rows: how long it takes to build, plan and resume, in what memory.

    python benchmarks/scale.py --rows 1000000 --json FILE

An S3 Inventory (Parquet) of so many made-up objects is written, and then each step runs in a
process of its own, as the command would: `build` reads the inventory and writes the manifest;
`plan` is a first start up to the list of work; `fill` leaves the part files of a run that was
killed before its proof, `prove` is the start that finds them all and proves the run; `resume` is
the start after that, with nothing to do. `plan` and `resume` include reading the manifest that
`build` wrote.
"""

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import parser, report

from mover_ray.datasets import manifest as manifests
from mover_ray.pipelines.balance import balanced
from mover_ray.pipelines.destination import Destination, part_name
from mover_ray.pipelines.job import Job, PipelineConfig, StageSpec
from mover_ray.pipelines.parts import encode
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.run import RunOptions, run
from mover_ray.schemas import FACES, RESULT
from mover_ray.stages.base import Stage

_DAY = "2026-01-01T01-00Z"
_ROWS_OF_A_FILE = 500_000
#: A cluster that a million videos are for, as far as the size of its blocks goes.
_WORKERS = 256
_MIB = 1 << 20 if sys.platform == "darwin" else 1 << 10


class _Planned(Exception):  # noqa: N818 # not an error: the step ends here
    """The list of work is there."""


class _StopsAtWork(Quiet):
    def start(self, total: int, done: int) -> None:
        raise _Planned(total - done)


def write_inventory(folder: Path, rows: int) -> None:
    """Writes an S3 Inventory of made-up videos, of sizes as archives have them."""
    (folder / "data").mkdir(parents=True)
    (folder / _DAY).mkdir()
    sizes = np.random.default_rng(0).lognormal(16, 1.7, rows).astype(np.int64)
    files = []
    for start in range(0, rows, _ROWS_OF_A_FILE):
        numbers = range(start, min(rows, start + _ROWS_OF_A_FILE))
        table = pa.table(
            {
                "key": [f"2026/{n // 1000:06d}/{n:012d}.mp4" for n in numbers],
                "size": sizes[start : start + len(numbers)],
                "e_tag": [hashlib.blake2b(b"%d" % n, digest_size=16).hexdigest() for n in numbers],
            }
        )
        path = folder / "data" / f"{start}.parquet"
        pq.write_table(table, path)
        md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        files.append({"key": f"inventory/data/{path.name}", "MD5checksum": md5})
    columns = "".join(f" optional binary {name} (UTF8);" for name in ("key", "size", "e_tag"))
    document = {
        "sourceBucket": "archive",
        "destinationBucket": "arn:aws:s3:::lists",
        "fileFormat": "Parquet",
        "fileSchema": f"message s3.inventory {{{columns} }}",
        "files": files,
    }
    (folder / _DAY / "manifest.json").write_text(json.dumps(document))


def make_inventory(work: Path, rows: int) -> None:
    """Writes the source; not part of any figure."""
    write_inventory(work / "inventory", rows)


def build(work: Path, rows: int) -> None:
    """Reads the inventory and writes the manifest."""
    built = manifests.build(str(work / "inventory" / _DAY / "manifest.json"))
    if built.table.num_rows != rows:
        raise RuntimeError(f"{built.table.num_rows} rows instead of {rows}")
    manifests.write(str(work / "manifest.parquet"), built.table)


def plan(work: Path, rows: int) -> None:
    """Starts a run, and ends it where the first video would be looked at."""
    destination, built = Destination(str(work / "out"), "results"), _built(work)
    try:
        run(_job(), built, _options(work), _StopsAtWork())
    except _Planned as planned:
        if planned.args != (rows,):
            raise
    block_rows = PipelineConfig().block_rows(rows, _WORKERS)
    destination.write_work_list(1, balanced(built.table, block_rows))


def fill(work: Path, rows: int) -> None:
    """Leaves the part files that attempt 1 would; not part of any figure."""
    destination, table = Destination(str(work / "out"), "results"), _results(_built(work).table)
    block_rows = PipelineConfig().block_rows(rows, _WORKERS)
    for task, start in enumerate(range(0, rows, block_rows)):
        part = Path(destination.part_uri(part_name(1, task)))
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(encode(table.slice(start, block_rows)))


def prove(work: Path, rows: int) -> None:
    """Starts the run again: everything is there, but not proved yet."""
    _expect_done(work, rows, engine="local")


def resume(work: Path, rows: int) -> None:
    """Starts the run once more: there is nothing to do."""
    _expect_done(work, rows, engine="none")


_STEPS: dict[str, Callable[[Path, int], None]] = {
    step.__name__: step for step in (make_inventory, build, plan, fill, prove, resume)
}


def _expect_done(work: Path, rows: int, engine: str) -> None:
    summary = run(_job(), _built(work), _options(work), Quiet())
    if (summary.engine, summary.counts) != (engine, {"ok": rows}):
        raise RuntimeError(f"not what was expected: {summary}")


def _built(work: Path) -> manifests.BuiltManifest:
    return manifests.build(str(work / "manifest.parquet"))


def _options(work: Path) -> RunOptions:
    return RunOptions(dest=str(work / "out"), engine="local")


def _job() -> Job:
    spec = StageSpec(name="none", build=_no_stage, schema=FACES)
    return Job(
        folder="results", prepare=spec, finish=spec, identity={"command": "score"}, settings={}
    )


def _no_stage() -> Stage:
    raise RuntimeError("no video is looked at here")


def _results(videos: pa.Table) -> pa.Table:
    """Gives rows with status `ok` and otherwise empty columns."""
    columns = [
        videos[field.name]
        if field.name in videos.column_names
        else pa.array([_plain(field)] * videos.num_rows, field.type)
        for field in RESULT
    ]
    return pa.table(columns, schema=RESULT)


def _plain(field: pa.Field) -> Any:
    if field.name == "status":
        return "ok"
    if field.nullable:
        return None
    if pa.types.is_list(field.type):
        return []
    if pa.types.is_boolean(field.type):
        return False
    return "" if pa.types.is_string(field.type) else 0


def run_step(step: str, work: Path, rows: int) -> dict[str, float]:
    """Runs one step in a new process; gives its seconds and its largest memory."""
    arguments = ["--rows", str(rows), "--step", step, "--work", str(work)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return dict(json.loads(done.stdout))


def measure(step: str, work: Path, rows: int) -> int:
    """Does one step and prints what it took."""
    started, started_cpu = time.perf_counter(), time.process_time()
    _STEPS[step](work, rows)
    print(
        json.dumps(
            {
                "s": time.perf_counter() - started,
                "cpu_s": time.process_time() - started_cpu,
                "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB,
            }
        )
    )
    return 0


def main() -> int:
    """Measures every step, prints and writes the figures."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, default=1_000_000, help="videos (1,000,000)")
    arguments.add_argument("--step", choices=list(_STEPS), help="one step alone, within --work")
    arguments.add_argument("--work", type=Path, help="folder of that step")
    options = arguments.parse_args()
    if options.step:
        return measure(options.step, options.work, options.rows)
    with tempfile.TemporaryDirectory(prefix="mover-ray-bench-") as name:
        steps = {step: run_step(step, Path(name), options.rows) for step in _STEPS}
        files = len(list((Path(name) / "out" / "results").iterdir()))
    drivers = [steps[step] for step in ("build", "plan", "prove", "resume")]
    report(
        {
            "rows": options.rows,
            **{f"{step}_s": steps[step]["s"] for step in ("build", "plan", "prove", "resume")},
            "driver_rss_mib": max(driver["rss_mib"] for driver in drivers),
            "files": files,
            "steps": steps,
        },
        options.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
