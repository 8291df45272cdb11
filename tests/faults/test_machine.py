"""The machine itself is short of something (D1, D2), or the model is not what it should be (M)."""

import pickle
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import tally
from tests.faults.scans import Scan, check_invariants, rows_of

pytestmark = pytest.mark.cluster

NewScan = Callable[..., Scan]
Rows = dict[str, dict]

SMALL_PARTS = ("pipeline.videos_per_block=2", "pipeline.lease.wait_s=5")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a few parts."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("no small file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_the_run_and_with_more_room_it_goes_on(
    new_scan: NewScan, clean_rows: Rows, small_disk: Path
) -> None:
    """D1."""
    scan = new_scan(str(small_disk / "out"), settings=SMALL_PARTS)
    code, err = scan.fail("local")
    assert code == 5, err
    assert "No space left" in err
    assert "Traceback" not in err
    tally.injected()
    half = [path for path in small_disk.rglob("*") if path.name.startswith(".tmp-")]
    assert half == [], "a half-written file is left"
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert scan.finish("local")["resumed"] > 0
    check_invariants(scan, clean_rows)


def test_a_decoder_without_memory_is_a_row_and_can_be_tried_again(
    new_scan: NewScan, clean_rows: Rows
) -> None:
    """D2: the limit is the video's own, so no other video and no worker is hit."""
    starved = replace(new_scan(), settings=(*SMALL_PARTS, "video.memory_mib=16"))
    counts = starved.finish("local")["counts"]
    tally.injected(counts.get("out_of_memory", 0))
    rows = rows_of(starved)
    tally.counted(len(clean_rows), len(set(clean_rows) - set(rows)), 0)
    assert set(rows) == set(clean_rows)
    assert counts.get("out_of_memory", 0) + counts.get("ok", 0) == 8, counts
    short = [row for row in rows.values() if row["status"] == "out_of_memory"]
    assert short, "the limit was never met"
    assert all(row["attempts"] <= 2 and row["crops"] == [] for row in short)


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self._path,)


def damage(model: Path, how: str, canary: Path) -> Path:
    """Gives the file of a model after it has been damaged, or another file in its place."""
    weights = next(model.glob("*.safetensors"))
    content = weights.read_bytes()
    if how == "pickle":
        replaced = model / "model.pt"
        replaced.write_bytes(pickle.dumps(Canary(canary)))
        return replaced
    altered = {
        "cut": content[: len(content) // 2],
        "flipped": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        "header bomb": (2**62).to_bytes(8, "little") + content[8:],
    }
    weights.write_bytes(altered[how])
    return model


@pytest.mark.parametrize("how", ["cut", "flipped", "header bomb", "pickle"])
def test_a_model_that_is_not_what_it_says_ends_the_command_before_any_video(
    new_scan: NewScan, model: Path, tmp_path: Path, how: str
) -> None:
    """M1, M2 and M3."""
    shutil.copytree(model, tmp_path / "model")
    canary = tmp_path / "canary"
    refused = damage(tmp_path / "model", how, canary)
    scan = new_scan(model=refused)
    code, err = scan.fail("local")
    tally.injected()
    assert code == 3, err
    assert "Traceback" not in err
    assert not Path(scan.dest).exists(), "something was written"
    assert not canary.exists(), "the pickle was loaded"
