"""The blocks that Ray Data makes of the work list are those that were balanced."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray puts sockets into it, whose paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="mr-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.cluster
def test_parts_weigh_the_same_on_ray(tmp_path: Path, short_folder: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.integration.ray_balance",
            str(tmp_path / "out"),
            short_folder,
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    full = [sum(part) for part in found["parts"] if len(part) == 8]
    (rest,) = [part for part in found["parts"] if len(part) < 8]
    assert len(full) == 11
    assert max(full) - min(full) <= max(found["sizes"])
    assert sorted(rest) == found["sizes"][:2], "the smallest are not in the last block"
