"""`_progress.json`: what is done in videos and bytes, and the rate of late."""

import json
from pathlib import Path

import pytest

from mover_ray.pipelines import tracked
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.tracked import TrackedProgress, Volume


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tracked, "time", clock)
    return clock


def read(folder: Path) -> dict:
    found: dict = json.loads((folder / "_progress.json").read_text())
    return found


def test_videos_bytes_and_rate(clock: Clock, tmp_path: Path) -> None:
    progress = TrackedProgress(Quiet(), Destination(str(tmp_path), "results"), 2, Volume(900, 300))
    progress.start(90, 30)
    found = read(tmp_path)
    assert (found["total"], found["done"], found["eta_s"]) == (90, 30, None)
    assert (found["total_bytes"], found["done_bytes"]) == (900, 300)

    clock.now += 20
    progress.advance({"ok": 8, "corrupt": 2}, 100)
    found = read(tmp_path)
    assert (found["attempt"], found["done"], found["done_bytes"]) == (2, 40, 400)
    assert found["counts"] == {"corrupt": 2, "ok": 8}
    assert (found["videos_per_s"], found["eta_s"]) == (0.5, 100.0)

    clock.now += 1
    progress.advance({"ok": 1}, 10)  # too soon after the last one for another write
    assert read(tmp_path)["done"] == 40
    progress.finish()
    assert (read(tmp_path)["done"], read(tmp_path)["done_bytes"]) == (41, 410)


def test_the_rate_forgets_how_long_the_start_took(clock: Clock, tmp_path: Path) -> None:
    progress = TrackedProgress(Quiet(), Destination(str(tmp_path), "results"), 1, Volume())
    progress.start(10_000, 0)
    clock.now += 3600  # nodes boot, weights load
    for _ in range(100):
        clock.now += 20
        progress.advance({"ok": 20})
    assert read(tmp_path)["videos_per_s"] == pytest.approx(1.0)
