"""`runs compact`, `vacuum` and `diff` over toy runs, on disk and in a store of objects."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import HeldError, LocationError
from mover_ray.operations import runs
from mover_ray.operations.runs import open_run, verify_run
from mover_ray.operations.runs_compact import CompactOptions, compact_run, merge_groups
from mover_ray.operations.runs_diff import DiffOptions, diff_runs
from mover_ray.operations.runs_vacuum import VacuumOptions, vacuum_run
from mover_ray.pipelines import proof
from mover_ray.pipelines.destination import Destination, Part
from mover_ray.pipelines.lease import LeaseConfig, hold
from mover_ray.pipelines.parts import write_part
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.run import run
from tests.pipelines.toy import SCHEMA, manifest, options, rows_at, toy_job

IMPATIENT = LeaseConfig(wait_s=0.0, expiry_s=1.0, renew_s=0.2)
VIDEOS = 20


@pytest.fixture(autouse=True)
def toy_runs(monkeypatch):
    """Has `runs` know where a toy run keeps its parts."""
    monkeypatch.setitem(runs._FOLDERS, "toy", "results")


@pytest.fixture(params=["disk", "objects"])
def dest(request, tmp_path):
    """A finished run of many small files."""
    place = str(tmp_path / "out") if request.param == "disk" else f"memory://{tmp_path.name}/out"
    run(toy_job({1: "corrupt", 2: "no_face"}), manifest(VIDEOS), options(place), Quiet())
    return place


def record_of(dest):
    """Gives the document that a finished run ends with."""
    record = open_run(dest).success()
    assert record is not None
    return record


def compact(dest, **changes):
    return compact_run(CompactOptions(dest=dest, lease=IMPATIENT, **changes), Quiet())


def vacuum(dest, hours=0.0, **changes):
    vacuum_options = VacuumOptions(dest=dest, older_than_h=hours, lease=IMPATIENT, **changes)
    return vacuum_run(vacuum_options, Quiet())


class TestCompact:
    def test_rows_stay_and_files_become_few(self, dest):
        before, record = rows_at(dest), record_of(dest)
        done = compact(dest)
        assert (done.files_before, done.files_after, done.rows) == (7, 1, VIDEOS)
        assert rows_at(dest) == before
        assert verify_run(dest).proved
        after = record_of(dest)
        assert after["counts"] == record["counts"]
        assert after["run_id"] == record["run_id"]
        assert after["attempt"] == record["attempt"] + 1

    def test_a_second_time_there_is_nothing_to_do(self, dest):
        compact(dest)
        record = record_of(dest)
        assert compact(dest).files_after == 1
        assert record_of(dest) == record

    def test_a_later_start_finds_everything_done(self, dest):
        compact(dest)
        summary = run(toy_job(), manifest(VIDEOS + 3), options(dest, retry=()), Quiet())
        assert summary.resumed == VIDEOS
        assert len(rows_at(dest)) == VIDEOS + 3
        assert verify_run(dest).proved

    def test_one_that_dies_half_way_changes_nothing_for_anybody(self, dest, monkeypatch):
        before = rows_at(dest)

        def die(*_):
            raise KeyboardInterrupt

        small = record_of(dest)["files"][0]["size_bytes"] * 2.5 / 2**20
        with monkeypatch.context() as patch:
            patch.setattr(proof, "finish", die)
            with pytest.raises(KeyboardInterrupt):
                compact(dest, target_mib=small)
        assert rows_at(dest) == before
        summary = run(toy_job(), manifest(VIDEOS), options(dest, retry=()), Quiet())
        assert summary.resumed == VIDEOS
        assert rows_at(dest) == before
        assert verify_run(dest).proved

    def test_an_unfinished_run_and_a_held_one_are_left_alone(self, dest):
        destination = open_run(dest)
        with hold(destination, IMPATIENT, Quiet()), pytest.raises(HeldError):
            compact(dest)
        destination.forget_success()
        with pytest.raises(LocationError, match="not finished"):
            compact(dest)


@given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 150))
def test_groups_hold_neighbours_and_none_is_larger_than_it_must_be(sizes, target):
    parts = [Part(f"00001-{i:06d}.parquet", 1, size, "") for i, size in enumerate(sizes)]
    groups = list(merge_groups(parts[::-1], target))
    seen = [part for group in groups for part in group]
    assert seen == sorted(set(seen))
    small = [part for part in parts if 2 * part.size_bytes < target]
    assert len(small) - len(seen) <= 1
    for group in groups:
        assert len(group) > 1
        assert sum(part.size_bytes for part in group[:-1]) < target


class TestVacuum:
    def test_what_compaction_replaced_goes_and_nothing_else(self, dest):
        compact(dest)
        before = rows_at(dest)
        told = vacuum(dest, dry_run=True)
        assert len(told.files) == 7
        assert len(list(open_run(dest).storage.list(open_run(dest).uri("_orphans")))) == 7
        assert vacuum(dest).files == told.files
        assert vacuum(dest).files == ()
        assert rows_at(dest) == before
        assert verify_run(dest).proved

    def test_a_part_that_nobody_counts_goes(self, dest):
        destination = open_run(dest)
        name = destination.part_names()[0]
        content = destination.storage.read(destination.part_uri(name))
        destination.storage.write(destination.part_uri("00001-000099.parquet"), content)
        assert verify_run(dest).stray
        assert vacuum(dest).files == (destination.part_uri("00001-000099.parquet"),)
        assert verify_run(dest).proved

    def test_young_files_are_kept(self, dest):
        compact(dest)
        kept = vacuum(dest, hours=1.0)
        assert (kept.files, kept.kept) == ((), 7)

    def test_the_rows_of_an_unfinished_run_are_kept(self, dest):
        open_run(dest).forget_success()
        before = rows_at(dest)
        assert vacuum(dest).files == ()
        assert rows_at(dest) == before

    def test_a_live_run_is_left_alone(self, dest):
        with hold(open_run(dest), IMPATIENT, Quiet()), pytest.raises(HeldError):
            vacuum(dest)


def test_old_files_are_told_by_their_time(tmp_path):
    dest = str(tmp_path / "out")
    run(toy_job(), manifest(4), options(dest), Quiet())
    orphan = tmp_path / "out" / "_orphans" / "00001-000009.parquet"
    orphan.parent.mkdir()
    orphan.write_bytes(b"x")
    day_ago = time.time() - 25 * 3600
    os.utime(orphan, (day_ago, day_ago))
    assert vacuum(dest, hours=26.0).kept == 1
    assert vacuum(dest, hours=24.0).size_bytes == 1
    assert not orphan.exists()


class TestDiff:
    def scored(self, place: Path, rows: dict[int, tuple[str, float | None]]) -> str:
        """Makes a run whose rows have these statuses and scores."""
        run(toy_job(), manifest(len(rows)), options(place, retry=()), Quiet())
        destination = Destination(str(place), "results")
        for name in destination.part_names():
            Path(destination.part_uri(name)).unlink()
        (place / "_SUCCESS.json").unlink()
        table = manifest(len(rows)).table.select(["video_id", "uri"])
        statuses = [status for status, _ in rows.values()]
        scores = [score for _, score in rows.values()]
        table = table.append_column("status", pa.array(statuses, pa.string()))
        table = table.append_column("run_id", pa.array(["x"] * len(rows))).cast(SCHEMA)
        table = table.append_column("score", pa.array(scores, pa.float32()))
        write_part(destination, 1, 0, table)
        return str(place)

    def test_equal_runs_are_equal(self, dest):
        found = diff_runs(DiffOptions(first=dest, second=dest))
        assert found.equal
        assert found.common == VIDEOS
        json.dumps(found.as_json())

    def test_every_kind_of_difference_is_told(self, tmp_path):
        common = {0: ("ok", 0.5), 1: ("ok", 0.25), 2: ("ok", 0.5), 3: ("no_face", None)}
        first = self.scored(tmp_path / "a", {**common, 4: ("corrupt", None)})
        changed = {1: ("ok", 0.75), 2: ("ok", 0.5625), 3: ("ok", 0.1)}
        second = self.scored(tmp_path / "b", {**common, **changed})
        found = diff_runs(DiffOptions(first=first, second=second))
        assert not found.equal
        assert (found.only_first, found.only_second, found.common) == (1, 0, 4)
        assert (found.rescored, found.largest) == (2, 0.5)
        assert found.moved == {"no_face -> ok": 1}
        assert [Path(one.uri).stem for one in found.examples] == ["3", "1", "2"]
        assert found.examples[0].first_score is None
        near = diff_runs(DiffOptions(first=first, second=second, tolerance=0.1, examples=1))
        assert near.rescored == 1
        assert len(near.examples) == 1

    def test_of_two_rows_the_later_attempt_s_counts(self, dest):
        destination = open_run(dest)
        replaced = manifest(1).table.select(["video_id", "uri"])
        replaced = replaced.append_column("status", pa.array(["timeout"]))
        table = replaced.append_column("run_id", pa.array(["x"])).cast(SCHEMA)
        other = f"{dest}-again"
        run(toy_job({1: "corrupt", 2: "no_face"}), manifest(VIDEOS), options(other), Quiet())
        destination = open_run(other)
        destination.forget_success()
        last = destination.last_attempt()
        assert last is not None
        accepted = [{"name": name, "rows": 3, "size_bytes": 1, "sha256": ""}
                    for name in destination.part_names()]  # fmt: skip
        destination.write_attempt({**last, "attempt": 2, "accepted": accepted})
        write_part(destination, 2, 0, table)
        found = diff_runs(DiffOptions(first=dest, second=other))
        assert found.moved == {"ok -> timeout": 1}
        assert found.common == VIDEOS
        assert np.isfinite(found.largest)


def test_the_command_line(tmp_path, monkeypatch, capsys):
    from typer.testing import CliRunner

    from mover_ray.cli.app import app

    dest = str(tmp_path / "out")
    run(toy_job(), manifest(VIDEOS), options(dest), Quiet())
    invoke = CliRunner().invoke
    assert "7 files before, 1 now" in invoke(app, ["runs", "compact", dest]).output
    words = ["runs", "vacuum", dest, "--older-than", "0"]
    assert "7 files would be removed" in invoke(app, [*words, "--dry-run"]).output
    assert json.loads(invoke(app, [*words, "--json"]).output)["files"]
    same = invoke(app, ["runs", "diff", dest, dest])
    assert (same.exit_code, "in both runs" in same.output) == (0, True)
    run(toy_job({3: "corrupt"}), manifest(VIDEOS), options(f"{dest}2"), Quiet())
    other = invoke(app, ["runs", "diff", dest, f"{dest}2"])
    assert other.exit_code == 1
    assert "ok -> corrupt" in other.output
