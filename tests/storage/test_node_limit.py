"""A rate that processes keep to together, by a clock that the test sets."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import LocationError
from mover_ray.storage import node_limit
from mover_ray.storage.node_limit import BURST_S, NodeLimit


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.day = 1.7e9

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.day + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path / f"mover-ray-limits-{os.getuid()}"


@pytest.fixture
def clock(monkeypatch, folder):
    clock = Clock()
    monkeypatch.setattr(node_limit, "time", clock)
    return clock


def test_processes_share_the_rate(clock):
    limits = [NodeLimit("requests", 10.0) for _ in range(3)]
    began = clock.now
    for number in range(60):
        limits[number % 3].take(1)
    assert clock.now - began == pytest.approx(6.0)


def test_a_forked_child_takes_from_the_same(folder):
    limit = NodeLimit("requests", 10.0)
    child = os.fork()
    if child == 0:
        limit._reserve(50)
        os._exit(0)
    os.waitpid(child, 0)
    assert limit._reserve(10) == pytest.approx(6.0, abs=0.5)


def test_a_rest_earns_a_second_s_worth_and_no_more(clock):
    limit = NodeLimit("requests", 10.0)
    limit.take(1)
    clock.now += 3600
    began = clock.now
    limit.take(10 * BURST_S)
    assert clock.now == began
    limit.take(5)
    assert clock.now - began == pytest.approx(0.5)


def test_the_clock_of_an_earlier_boot_is_not_believed(clock):
    NodeLimit("requests", 10.0).take(1)
    clock.day += 1000 - 5 + 120
    clock.now = 5.0
    began = clock.now
    NodeLimit("requests", 10.0).take(1)
    assert clock.now - began <= 0.2


@given(st.lists(st.floats(0.01, 50), min_size=1, max_size=40), st.floats(0.5, 1000))
def test_whatever_is_taken_the_rate_is_kept(amounts, per_s):
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_limit, "time", clock)
        limit = NodeLimit(f"property-{os.getpid()}", per_s)
        try:
            clock.now += 7200  # what earlier examples took is forgotten
            began = clock.now
            for amount in amounts:
                limit.take(amount)
            assert sum(amounts) <= per_s * (clock.now - began + BURST_S) + 1e-6
        finally:
            limit.close()
            folder = Path(tempfile.gettempdir()) / f"mover-ray-limits-{os.getuid()}"
            (folder / f"property-{os.getpid()}-{per_s:g}").unlink(missing_ok=True)


def test_the_file_is_the_user_s_own(folder, clock):
    NodeLimit("requests", 2.5).take(1)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["requests-2.5"]


def test_without_a_folder_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "gone"))
    with pytest.raises(LocationError, match="no limit can be kept"):
        NodeLimit("requests", 1.0)
