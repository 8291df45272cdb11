import struct
import subprocess
import sys
from pathlib import Path

import pytest

from mover_ray.video.landlock import landlock_version, renounce_paths, ruleset_attributes


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        (1, (0x1FFF,)),
        (2, (0x3FFF,)),
        (3, (0x7FFF,)),
        (4, (0x7FFF, 3)),
        (5, (0xFFFF, 3)),
        (6, (0xFFFF, 3, 3)),
        (9, (0xFFFF, 3, 3)),
    ],
)
def test_each_version_is_told_of_all_that_it_knows(version: int, fields: tuple[int, ...]) -> None:
    data = ruleset_attributes(version)
    assert struct.unpack(f"{len(data) // 8}Q", data) == fields


_SCRIPT = """
import os, sys
from mover_ray.video.landlock import renounce_paths
descriptor = os.open(sys.argv[1], os.O_RDONLY)
renounce_paths()
assert os.read(descriptor, 7) == b"content"
try:
    os.open(sys.argv[1], os.O_RDONLY)
except PermissionError:
    sys.exit(13)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_paths_are_renounced_and_descriptors_kept(tmp_path: Path) -> None:
    if not landlock_version():
        pytest.skip("this kernel has no Landlock")
    path = tmp_path / "file"
    path.write_bytes(b"content")
    run = subprocess.run([sys.executable, "-c", _SCRIPT, str(path)], check=False)
    assert run.returncode == 13


def test_a_kernel_without_it_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mover_ray.video.landlock.landlock_version", lambda: 0)
    renounce_paths()
    Path(__file__).read_bytes()
