"""What `limit_process` sets, seen from a process that has called it."""

import json
import subprocess
import sys

import pytest

from mover_ray.video.limits import LEVEL_VARIABLE

_SCRIPT = """
import json, resource, sys
from mover_ray.video.budget import VideoBudget
from mover_ray.video.limits import limit_process
names = ("RLIMIT_CPU", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_AS")
limit_process(VideoBudget(cpu_s=7, memory_mib=100))
print(json.dumps({name: resource.getrlimit(getattr(resource, name)) for name in names}))
"""


@pytest.fixture(scope="module")
def limits() -> dict[str, list[int]]:
    """The limits at the weakest level: at the others, a process may not even ask for them."""
    command = [sys.executable, "-c", _SCRIPT]
    environment = {LEVEL_VARIABLE: "rlimits"}
    run = subprocess.run(command, env=environment, capture_output=True, check=True)
    found: dict[str, list[int]] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("name", ["RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_NOFILE"])
def test_nothing_new_can_be_had(name: str, limits: dict[str, list[int]]) -> None:
    assert limits[name] == [0, 0]


def test_the_signal_for_time_comes_before_the_kill(limits: dict[str, list[int]]) -> None:
    assert limits["RLIMIT_CPU"] == [7, 8]


@pytest.mark.skipif(sys.platform != "linux", reason="set on Linux only")
def test_memory_is_counted_from_what_an_idle_decoder_has(limits: dict[str, list[int]]) -> None:
    soft, hard = limits["RLIMIT_AS"]
    assert soft == hard
    assert 100 * 2**20 < soft < 2**33


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's filters")
def test_the_filter_goes_on_unless_the_environment_says_otherwise() -> None:
    command = [sys.executable, "-c", _SCRIPT]
    run = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "PermissionError" in run.stderr
