"""What a worker's death leaves in the book, and what the next worker makes of it."""

from typing import Any

import pytest

from mover_ray.pipelines.quarantine import Guard, StrikeBook
from mover_ray.schemas import FACES
from mover_ray.stages.base import Row
from tests.pipelines.toy import Pass, manifest, toy_job


class Here:
    """A book that is asked in this process, as Ray's handle of it is."""

    def __init__(self, book: StrikeBook) -> None:
        self.begin = Remote(book.begin)
        self.end = Remote(book.end)


class Remote:
    def __init__(self, method: Any) -> None:
        self.remote = method


class Deadly:
    """A stage that ends its worker over one video."""

    def __init__(self, number: int) -> None:
        self._poison = f"{number}.mp4"
        self.seen: list[str] = []

    def __call__(self, row: Row) -> Row:
        self.seen.append(row["uri"])
        if row["uri"].endswith(f"/{self._poison}"):
            raise SystemExit("the worker dies")
        return {**row, "status": "ok", "crops": ["a crop"]}

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mover_ray.pipelines.quarantine.ray.get", lambda value, **_: value)


@pytest.fixture
def guard() -> Guard:
    return Guard(Here(StrikeBook()), "find-faces", 3)


def rows(count: int) -> list[Row]:
    return list(manifest(count).table.to_pylist())


def test_a_video_is_held_back_after_so_many_deaths_and_no_other(guard: Guard) -> None:
    stage, videos = Deadly(1), rows(3)
    for _ in range(3):  # Ray gives a new worker the block from its start
        assert guard.run(stage, videos[0])["status"] == "ok"
        with pytest.raises(SystemExit):
            guard.run(stage, videos[1])
    held = guard.run(stage, videos[1])
    assert held["status"] == "quarantined"
    assert held["error"] == "3 workers died over it in stage `find-faces`"
    assert (held["attempts"], held["crops"]) == (3, [])
    assert guard.run(stage, videos[2])["status"] == "ok"
    assert toy_job().prepare.to_table([held]).schema == FACES


def test_one_that_passes_begins_with_a_clean_book(guard: Guard) -> None:
    stage, video = Deadly(1), rows(2)[1]
    for _ in range(2):
        with pytest.raises(SystemExit):
            guard.run(stage, video)
    for _ in range(9):
        assert guard.run(Pass(), {**video, "status": "ok"})["status"] == "ok"


def test_a_later_stage_is_given_the_row_without_anything_to_work_on() -> None:
    guard = Guard(Here(StrikeBook()), "score", 1)
    video = {**rows(1)[0], "status": "ok", "crops": ["a crop"], "attempts": 1, "flags": ["x"]}
    with pytest.raises(SystemExit):
        guard.run(Deadly(0), video)
    held = guard.run(Pass(), video)
    assert (held["status"], held["crops"], held["flags"]) == ("quarantined", [], ["x"])


def test_without_an_answer_nothing_is_held_back(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.exceptions import GetTimeoutError

    def lost(value: int, timeout: float) -> int:
        raise GetTimeoutError("away")

    monkeypatch.setattr("mover_ray.pipelines.quarantine.ray.get", lost)
    for _ in range(9):
        with pytest.raises(SystemExit):
            guard.run(Deadly(0), rows(1)[0])
