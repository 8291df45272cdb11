"""Ray Data's executed plan: what runs apart, and how finely a small manifest is cut."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archive import make_archive

ROOT = Path(__file__).parents[2]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray puts sockets into it, whose paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="mr-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_two_cores_run_decoding_and_scoring_apart_in_many_blocks(
    tmp_path: Path, short_folder: Path
) -> None:
    archive = make_archive(tmp_path / "archive", faces=14)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    script = [sys.executable, "-m", "tests.integration.ray_plan", str(archive), str(short_folder)]
    done = subprocess.run(
        script,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)

    assert found["rows"] == 16
    # Ray would make one block of a million such rows (measured); 2 cores get 8 of 16 videos.
    assert found["blocks"] == 8
    operators = [line for line in found["stats"].splitlines() if line.startswith("Operator")]
    stages = [line for line in operators if "MapBatches" in line]
    assert len(stages) == 2, operators
    assert all("->" not in line for line in stages), "decoding and scoring are fused"
    assert found["pools"] == [2, 1]
