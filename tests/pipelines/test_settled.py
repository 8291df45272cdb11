"""What a start must know of earlier rows, and how little it reads for that."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from mover_ray.pipelines import settled
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.parts import read_indexes
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.run import run
from tests.pipelines.toy import manifest, options, rows_at, toy_job


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the parts whose rows a start looks at."""
    names: list[str] = []

    def noting(destination: Destination, wanted: Sequence[str]) -> object:
        names.extend(wanted)
        return read_indexes(destination, wanted)

    monkeypatch.setattr(settled, "read_indexes", noting)
    return names


def test_a_finished_run_is_known_without_reading_its_rows(tmp_path: Path, read: list[str]) -> None:
    run(toy_job({1: "corrupt"}), manifest(8), options(tmp_path), Quiet())
    again = run(toy_job(), manifest(8), options(tmp_path), Quiet())
    assert (again.engine, again.counts) == ("none", {"corrupt": 1, "ok": 7})
    grown = run(toy_job(), manifest(10), options(tmp_path), Quiet())
    assert (grown.resumed, grown.counts) == (8, {"corrupt": 1, "ok": 9})
    assert read == []


def test_rows_are_read_where_some_are_to_be_tried_again(tmp_path: Path, read: list[str]) -> None:
    run(toy_job({1: "timeout"}), manifest(8), options(tmp_path), Quiet())
    assert run(toy_job(), manifest(8), options(tmp_path), Quiet()).counts == {"ok": 8}
    assert len(read) == 3


def test_rows_are_read_where_a_part_is_missing(tmp_path: Path, read: list[str]) -> None:
    run(toy_job(), manifest(8), options(tmp_path), Quiet())
    next((tmp_path / "results").iterdir()).unlink()
    with pytest.raises(Exception, match="cannot be opened"):
        run(toy_job(), manifest(8), options(tmp_path), Quiet())


def test_rows_are_read_after_a_start_that_died(tmp_path: Path, read: list[str]) -> None:
    class Dies(Quiet):
        def start(self, total: int, done: int) -> None:
            raise KeyboardInterrupt

    run(toy_job(), manifest(5), options(tmp_path), Quiet())
    with pytest.raises(KeyboardInterrupt):
        run(toy_job(), manifest(8), options(tmp_path), Dies())
    assert run(toy_job(), manifest(8), options(tmp_path), Quiet()).resumed == 5
    assert len(read) == 2
    assert set(rows_at(tmp_path)) == set(range(8))
