"""`--since` leaves out what earlier runs have answered, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from mover_ray.datasets.manifest import BuiltManifest
from mover_ray.datasets.rows import table_from_columns
from mover_ray.errors import ConfigError, LocationError
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.dry_run import probe
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.run import run
from tests.pipelines.toy import manifest, options, rows_at, toy_job


@pytest.fixture
def march(tmp_path: Path) -> str:
    """A finished run over videos 0 to 4, one of which could not be fetched."""
    dest = str(tmp_path / "march")
    run(toy_job({1: "fetch_error", 2: "corrupt"}), manifest(5), options(dest), Quiet())
    return dest


def april(tmp_path: Path, *since: str, **changes: object) -> dict[int, dict]:
    """Runs over videos 0 to 7 and gives the rows."""
    dest = str(tmp_path / "april")
    run(toy_job(), manifest(8), options(dest, since=since, **changes), Quiet())
    return rows_at(dest)


def test_only_what_is_new_or_not_answered_is_looked_at(tmp_path: Path, march: str) -> None:
    assert set(april(tmp_path, march)) == {1, 5, 6, 7}


def test_what_counts_as_answered_follows_retry(tmp_path: Path, march: str) -> None:
    assert set(april(tmp_path, march, retry=("corrupt",))) == {2, 5, 6, 7}


def test_the_record_says_what_was_left_out_and_why(tmp_path: Path, march: str) -> None:
    summary = run(toy_job(), manifest(8), options(tmp_path / "x", since=(march,)), Quiet())
    assert (summary.total, summary.passed_over) == (4, {f"unchanged since {march}": 4})
    success = Destination(str(tmp_path / "x"), "results").success()
    assert success is not None
    assert success["since"] == [march]


def test_what_the_earlier_run_left_out_itself_is_left_out_too(tmp_path: Path, march: str) -> None:
    april(tmp_path, march)
    may = run(
        toy_job(), manifest(9), options(tmp_path / "may", since=(f"{tmp_path}/april",)), Quiet()
    )
    assert may.total == 1


def test_several_runs_may_be_named(tmp_path: Path, march: str) -> None:
    other = str(tmp_path / "other")
    run(toy_job(), manifest(2, first=5), options(other), Quiet())
    assert set(april(tmp_path, march, other)) == {1, 7}


def test_nothing_new_is_a_finished_run_of_no_videos(tmp_path: Path, march: str) -> None:
    summary = run(
        toy_job(), manifest(5), options(tmp_path / "x", since=(march,), retry=()), Quiet()
    )
    assert (summary.total, summary.counts) == (0, {})
    assert Destination(str(tmp_path / "x"), "results").success() is not None


def test_a_dry_run_counts_only_what_is_new(tmp_path: Path, march: str) -> None:
    found = probe(toy_job(), manifest(8), options(tmp_path / "x", since=(march,)))
    assert (found.videos, found.bytes) == (4, 4)


def test_a_retry_that_died_leaves_the_finished_run_to_go_by(tmp_path: Path, march: str) -> None:
    class Dies(Quiet):
        def start(self, total: int, done: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(toy_job(), manifest(7), options(march), Dies())
    assert set(april(tmp_path, march)) == {1, 5, 6, 7}


def facts(**changes: object) -> dict[str, object]:
    return {
        "uri": "s3://b/a.mp4", "version_id": None, "etag": "e", "size_bytes": 1, "mtime_ns": 5,
        **changes,
    }  # fmt: skip


def built(row: dict[str, object]) -> BuiltManifest:
    table = table_from_columns({name: [value] for name, value in row.items()})
    return BuiltManifest(table)


class PassAll(Quiet):
    """Shows nothing."""


@pytest.mark.parametrize(
    ("now", "left"),
    [
        ({}, 0),
        ({"version_id": "v"}, 0),
        ({"mtime_ns": 6}, 0),
        ({"etag": "other"}, 1),
        ({"etag": None}, 0),
        ({"etag": None, "mtime_ns": 6}, 1),
        ({"etag": None, "mtime_ns": None}, 1),
        ({"uri": "s3://b/b.mp4"}, 1),
    ],
)
def test_a_version_is_known_by_whatever_pin_both_runs_have(
    tmp_path: Path, now: dict[str, object], left: int
) -> None:
    numbered = replace(toy_job(), prepare=replace(toy_job().prepare, build=_Ok))
    run(numbered, built(facts()), options(tmp_path / "then"), Quiet())
    since = (str(tmp_path / "then"),)
    summary = run(numbered, built(facts(**now)), options(tmp_path / "now", since=since), Quiet())
    assert summary.total == left


class _Ok:
    """Answers any video."""

    def __call__(self, row: dict) -> dict:
        return {**row, "status": "ok", "attempts": 1, "flags": [], "crops": []}

    def close(self) -> None:
        """Nothing is held."""


def test_an_unfinished_run_is_refused(tmp_path: Path, march: str) -> None:
    (Path(march) / "_SUCCESS.json").unlink()
    for since in (march, str(tmp_path / "nothing")):
        with pytest.raises(LocationError, match="no finished run") as raised:
            april(tmp_path, since)
        assert raised.value.hint
    assert not (tmp_path / "april").exists()


def test_a_run_of_another_command_is_refused(tmp_path: Path, march: str) -> None:
    job = replace(toy_job(), identity={"command": "other"})
    with pytest.raises(ConfigError, match="a run of `toy`"):
        run(job, manifest(2), options(tmp_path / "x", since=(march,)), Quiet())


def test_the_destination_itself_is_refused(march: str) -> None:
    with pytest.raises(ConfigError, match="names the destination itself"):
        run(toy_job(), manifest(8), options(march, since=(march,)), Quiet())


def test_runs_that_name_each_other_come_to_an_end(tmp_path: Path, march: str) -> None:
    april(tmp_path, march)
    second = run(
        toy_job(),
        manifest(9),
        options(march, since=(str(tmp_path / "april"),), retry=()),
        Quiet(),
    )
    assert second.total == 6
    assert set(pa.array(rows_at(march)).to_pylist()) == {0, 1, 2, 3, 4, 8}
