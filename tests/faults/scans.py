"""Whole runs of the command line as child processes, and what must hold after each."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mover_ray.operations.runs import verify_run
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.parts import read_table
from tests.archive import FRAMES, SIZE_PX
from tests.faults import tally
from tests.s3_server import OWNER

#: What a row says of its own making, and not of the video.
MAKING = {"run_id", "scored_at", "fetch_ms", "decode_ms", "faces_ms", "score_ms"}


@dataclass(frozen=True)
class Scan:
    """A command line that takes an archive into a destination."""

    archive: Path
    dest: str
    ray_temp: Path
    settings: tuple[str, ...] = ("pipeline.videos_per_block=2", "pipeline.lease.wait_s=30")
    model: Path | None = None
    """`score` with this model; None for `extract`, which starts in half the time."""
    source: str | None = None
    """Where the archive lies; None for its own folder."""
    address: str | None = None
    """Ray cluster to join; without a token, as those of `ray.cluster_utils` are."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that the command finds set."""
    options: tuple[str, ...] = ()
    """Further words of the command line."""

    @property
    def folder(self) -> str:
        """Where the parts lie under the destination."""
        return "results" if self.model else "crops"

    def command(self, engine: str) -> list[str]:
        """Gives the command for one engine."""
        settings = [*self.settings, "ray.num_cpus=2", f"ray.temp_dir={self.ray_temp}"]
        if self.model:
            verb = ["score", "--model", str(self.model), "--allow-untrained"]
        else:
            verb = ["extract"]
            settings += [f"faces.size_px={SIZE_PX}", f"sampling.frames={FRAMES}"]
        joined = ["--address", self.address] if self.address and engine == "ray" else []
        return [
            str(Path(sys.executable).with_name("mover-ray")), *verb,
            self.source or str(self.archive),
            "--out", self.dest, "--engine", engine, "--json", *joined, *self.options,
            *[word for setting in settings for word in ("--set", setting)],
        ]  # fmt: skip

    def start(self, engine: str, *, own_group: bool = False) -> subprocess.Popen[str]:
        """Starts the command; the caller ends it."""
        return subprocess.Popen(
            self.command(engine),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(engine),
            start_new_session=own_group,
        )

    def finish(self, engine: str) -> dict:
        """Runs the command to its end; gives the summary that it prints."""
        with self.start(engine) as process:
            out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert OWNER[1] not in err, "a secret is told"
        return dict(json.loads(out))

    def fail(self, engine: str) -> tuple[int, str]:
        """Runs the command to an end that is no success; gives its code and its words."""
        with self.start(engine) as process:
            _, err = process.communicate(timeout=240)
        assert process.returncode != 0
        assert OWNER[1] not in err, "a secret is told"
        return process.returncode, err

    def wait_for_parts(self, process: subprocess.Popen[str], count: int) -> None:
        """Waits until the destination has so many parts or the process has ended."""
        deadline = time.monotonic() + 200
        while len(self.parts()) < count and process.poll() is None:
            assert time.monotonic() < deadline, "no parts in time"
            time.sleep(0.02)

    def parts(self) -> list[str]:
        """Lists the part files that are there."""
        return Destination(self.dest, self.folder).part_names()

    def _environment(self, engine: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        if self.address and engine == "ray":
            kept["RAY_AUTH_MODE"] = "disabled"
        return {**kept, **dict(self.environment)}


def rows_of(scan: Scan, names: Sequence[str] | None = None) -> dict[str, dict]:
    """Gives what readers see, by file name; a video with two rows is an error."""
    rows = [
        {name: row[name] for name in row if name not in MAKING} for row in all_rows(scan, names)
    ]
    by_name = {row["uri"].rpartition("/")[2]: row for row in rows}
    assert len(by_name) == len(rows), "a video has two rows"
    return by_name


def all_rows(scan: Scan, names: Sequence[str] | None = None) -> list[dict]:
    """Gives what readers see, with its repetitions if there are any."""
    destination = Destination(scan.dest, scan.folder)
    tables = [read_table(destination, name) for name in names or destination.counting_parts()]
    return pa.concat_tables(tables).to_pylist() if tables else []


def check_invariants(scan: Scan, clean: dict[str, dict]) -> None:
    """Checks everything that holds after a finished run, whatever happened on the way."""
    seen = Counter(row["uri"].rpartition("/")[2] for row in all_rows(scan))
    tally.counted(len(clean), len(set(clean) - set(seen)), seen.total() - len(seen))
    found = verify_run(scan.dest)
    assert found.proved, found
    assert found.stray == (), "parts that do not count lie among those that do"
    rows = rows_of(scan)
    assert set(rows) == set(clean), "a row is missing"
    assert rows == clean, "a row differs from that of an undisturbed run"
    if "://" not in scan.dest:
        half = [path for path in Path(scan.dest).rglob("*") if path.name.startswith(".")]
        assert half == [], "a half-written file is left"
        by_glob = pq.read_table(Path(scan.dest) / scan.folder, columns=["video_id"])
        assert by_glob.num_rows == len(rows), "readers by glob see other rows"
