"""A run's promise: every video one row, whatever happened before."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from mover_ray.errors import ArtifactError, ConfigError, HeldError, LocationError, StorageError
from mover_ray.pipelines import proof
from mover_ray.pipelines.destination import Destination, part_name
from mover_ray.pipelines.parts import encode
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.proof import IncompleteError
from mover_ray.pipelines.run import RunOptions, run
from mover_ray.status import Status
from tests.pipelines.toy import SCHEMA, manifest, options, rows_at, toy_job


@pytest.fixture(params=["disk", "memory"])
def dest(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "out")
    return f"memory://bucket/{tmp_path.name}"


class DiesAfter(Quiet):
    """Raises out of the run once so many parts are committed, as a kill would end it."""

    def __init__(self, parts: int) -> None:
        self.left = parts

    def advance(self, counts: Mapping[str, int]) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def success_of(dest: str) -> dict:
    document = Destination(dest, "results").read_document("_SUCCESS.json")
    assert document is not None
    return document


def put_part(dest: str, name: str, ids: list[int]) -> None:
    known = manifest(100).table["video_id"].to_pylist()
    rows = [
        {"video_id": known[i], "uri": f"late/{i}.mp4", "status": "ok", "run_id": "x"} for i in ids
    ]
    destination = Destination(dest, "results")
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    destination.storage.write(destination.part_uri(name), encode(table))


def test_every_video_has_one_row_and_the_proof_names_every_part(dest: str) -> None:
    summary = run(toy_job({4: "corrupt"}), manifest(8), options(dest), Quiet())

    assert set(rows_at(dest)) == set(range(8))
    assert summary.counts == {"corrupt": 1, "ok": 7}
    assert (summary.total, summary.resumed, summary.engine) == (8, 0, "local")
    document = success_of(dest)
    assert [part["rows"] for part in document["files"]] == [3, 3, 2]
    assert document["counts"] == summary.counts
    assert {row["run_id"] for row in rows_at(dest).values()} == {summary.run_id}


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_an_ended_run_goes_on_where_it_stopped(dest: str, parts: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(toy_job(), manifest(8), options(dest), DiesAfter(parts))
    committed = rows_at(dest)
    assert Destination(dest, "results").read_document("_SUCCESS.json") is None

    summary = run(toy_job(), manifest(8), options(dest), Quiet())

    rows = rows_at(dest)
    assert set(rows) == set(range(8))
    assert summary.resumed == len(committed) > 0
    assert {i: rows[i] for i in committed} == committed, "a committed row was made anew"


def test_a_finished_run_is_only_looked_at(dest: str) -> None:
    first = run(toy_job(), manifest(5), options(dest), Quiet())
    before = success_of(dest)

    again = run(toy_job({0: "raise"}), manifest(5), options(dest), Quiet())

    assert again.engine == "none"
    assert (again.resumed, again.counts) == (5, first.counts)
    assert success_of(dest) == before


def test_new_videos_are_added_and_vanished_ones_keep_their_rows(dest: str) -> None:
    run(toy_job(), manifest(5), options(dest), Quiet())

    summary = run(toy_job(), manifest(5, first=3), options(dest), Quiet())

    assert set(rows_at(dest)) == set(range(8))
    assert (summary.total, summary.resumed) == (8, 5)


def test_failures_that_may_have_passed_are_tried_again_and_replaced(dest: str) -> None:
    run(
        toy_job({1: "timeout", 6: "fetch_error", 7: "corrupt"}), manifest(8), options(dest), Quiet()
    )

    summary = run(toy_job({6: "timeout"}), manifest(8), options(dest), Quiet())

    assert summary.counts == {"corrupt": 1, "ok": 6, "timeout": 1}
    statuses = {i: row["status"] for i, row in rows_at(dest).items()}
    assert (statuses[1], statuses[6], statuses[7]) == ("ok", "timeout", "corrupt")
    names = Destination(dest, "results").part_names()
    assert names == sorted(part["name"] for part in success_of(dest)["files"]), "leftovers"


def test_a_retry_that_dies_leaves_the_finished_run_readable(dest: str) -> None:
    run(toy_job({1: "timeout", 6: "timeout"}), manifest(8), options(dest), Quiet())

    with pytest.raises(KeyboardInterrupt):
        run(toy_job(), manifest(8), options(dest), DiesAfter(1))

    assert rows_at(dest)[1]["status"] == "timeout"
    assert run(toy_job(), manifest(8), options(dest), Quiet()).counts == {"ok": 8}
    assert set(rows_at(dest)) == set(range(8))


def test_nothing_is_tried_again_where_nothing_is_to_be(dest: str) -> None:
    run(toy_job({1: "timeout"}), manifest(4), options(dest), Quiet())
    again = run(toy_job(), manifest(4), options(dest, retry=()), Quiet())
    assert (again.engine, again.counts) == ("none", {"ok": 3, "timeout": 1})


@pytest.mark.parametrize("fresh", [True, False])
def test_another_model_is_refused_unless_the_user_starts_over(dest: str, fresh: bool) -> None:
    run(toy_job(), manifest(4), options(dest), Quiet())
    before = rows_at(dest)
    other = toy_job({0: "corrupt"}, model="two")
    if fresh:
        run(other, manifest(2), options(dest, fresh=True), Quiet())
        assert {i: row["status"] for i, row in rows_at(dest).items()} == {0: "corrupt", 1: "ok"}
        return

    with pytest.raises(HeldError, match="another model") as caught:
        run(other, manifest(4), options(dest), Quiet())
    assert "--fresh" in str(caught.value.hint)
    assert rows_at(dest) == before


def test_a_late_part_of_an_older_attempt_never_counts(dest: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(toy_job(), manifest(8), options(dest), DiesAfter(1))

    class WakesUp(Quiet):
        def start(self, total: int, done: int) -> None:
            put_part(dest, part_name(1, 99), [5, 6])  # after the accepted list was frozen

    run(toy_job(), manifest(8), options(dest), WakesUp())

    assert {row["uri"] for row in rows_at(dest).values()} == {f"/archive/{i}.mp4" for i in range(8)}
    assert part_name(1, 99) not in Destination(dest, "results").part_names()


def test_a_part_that_appears_after_the_end_is_set_aside_by_the_next_start(dest: str) -> None:
    run(toy_job(), manifest(4), options(dest), Quiet())
    put_part(dest, part_name(1, 77), [2])

    assert len(rows_at(dest)) == 4
    run(toy_job(), manifest(4), options(dest), Quiet())
    assert part_name(1, 77) not in Destination(dest, "results").part_names()


def test_a_bug_in_a_stage_ends_the_run_and_keeps_what_was_committed(dest: str) -> None:
    with pytest.raises(RuntimeError, match="a bug in a stage"):
        run(toy_job({5: "raise"}), manifest(8), options(dest), Quiet())
    assert len(rows_at(dest)) == 3
    assert run(toy_job(), manifest(8), options(dest), Quiet()).counts == {"ok": 8}


def test_a_lost_part_is_found_by_the_proof(dest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = proof.finish

    def loses_one(destination: Destination, *rest: object) -> dict:
        destination.storage.delete(destination.part_uri(part_name(1, 1)))
        return real(destination, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(proof, "finish", loses_one)
    with pytest.raises(IncompleteError, match="3 videos without a row"):
        run(toy_job(), manifest(8), options(dest), Quiet())
    assert Destination(dest, "results").read_document("_SUCCESS.json") is None


def test_progress_is_told_and_written(dest: str) -> None:
    told: list[Mapping[str, int]] = []

    class Listens(Quiet):
        def advance(self, counts: Mapping[str, int]) -> None:
            told.append(dict(counts))

    run(toy_job({0: "no_face"}), manifest(7), options(dest), Listens())

    assert told == [{"no_face": 1, "ok": 2}, {"ok": 3}, {"ok": 1}]
    document = Destination(dest, "results").read_document("_progress.json")
    assert document is not None
    assert (document["done"], document["total"], document["counts"]) == (
        7,
        7,
        {"no_face": 1, "ok": 6},
    )


def test_half_written_files_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    results = tmp_path / "out" / "results"
    results.mkdir(parents=True)
    (results / f".tmp-{'0' * 16}").write_bytes(b"half a file")
    others = tmp_path / "out" / "mine" / f".tmp-{'0' * 16}"
    others.parent.mkdir()
    others.write_bytes(b"not ours")
    run(toy_job(), manifest(2), options(tmp_path / "out"), Quiet())
    assert [path.name for path in results.iterdir()] == ["00001-000000.parquet"]
    assert others.exists()


def test_a_manifest_of_many_videos_is_one_id_set(tmp_path: Path) -> None:
    count = 2000
    summary = run(toy_job(), manifest(count), options(tmp_path / "out"), Quiet())
    assert summary.counts == {"ok": count}
    ids = json.loads((tmp_path / "out" / "_SUCCESS.json").read_text())["total"]
    assert ids == count


def test_unknown_statuses_and_engines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown status: `timout`"):
        RunOptions(dest=str(tmp_path), retry=("timout",))
    with pytest.raises(ConfigError, match="unknown engine: `dask`"):
        RunOptions(dest=str(tmp_path), engine="dask")


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_a_run_killed_before_its_proof_needs_no_engine_to_be_finished(dest: str) -> None:
    run(toy_job(), manifest(5), options(dest), Quiet())
    destination = Destination(dest, "results")
    destination.storage.delete(destination.uri("_SUCCESS.json"))

    summary = run(toy_job({0: "raise"}), manifest(5), options(dest, engine="ray"), Quiet())

    assert (summary.engine, summary.resumed, summary.counts) == ("local", 5, {"ok": 5})


def test_a_stale_finisher_leaves_the_parts_of_a_later_attempt_alone(
    dest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Destination.write_success

    def overtaken(self: Destination, document: Mapping[str, object], over: str | None) -> None:
        write(self, document, over)
        put_part(dest, part_name(2, 0), [1])  # the later run commits just now

    monkeypatch.setattr(Destination, "write_success", overtaken)
    run(toy_job(), manifest(4), options(dest), Quiet())
    assert part_name(2, 0) in Destination(dest, "results").part_names()


def test_a_stale_finisher_does_not_replace_the_end_of_a_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = f"memory://bucket/{tmp_path.name}"
    write = Destination.write_success

    def overtaken(self: Destination, document: Mapping[str, object], over: str | None) -> None:
        self.write_document({"attempt": 2, "total": 4, "files": []}, "_SUCCESS.json")
        write(self, document, over)

    monkeypatch.setattr(Destination, "write_success", overtaken)
    with pytest.raises(HeldError, match="another run has finished"):
        run(toy_job(), manifest(4), options(dest), Quiet())
    success = Destination(dest, "results").success()
    assert success is not None
    assert success["attempt"] == 2


@pytest.mark.parametrize("content", [b"no json", b"{}", b"[1]", b"null"])
@pytest.mark.parametrize("name", ["_SUCCESS.json", "_attempts/00001.json"])
def test_a_damaged_record_is_named_and_a_fresh_start_gets_over_it(
    dest: str, name: str, content: bytes
) -> None:
    run(toy_job(), manifest(4), options(dest), Quiet())
    destination = Destination(dest, "results")
    destination.storage.write(destination.uri(name), content)

    with pytest.raises(LocationError, match="record is damaged") as caught:
        run(toy_job(), manifest(4), options(dest), Quiet())
    assert "--fresh" in str(caught.value.hint)
    again = run(toy_job(), manifest(4), options(dest, fresh=True), Quiet())
    assert (again.attempt, again.counts) == (2, {"ok": 4})


def test_progress_that_cannot_be_written_ends_no_run(
    dest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Destination.write_document

    def refuses(self: Destination, document: Mapping[str, object], *names: str) -> None:
        if names == ("_progress.json",):
            raise StorageError(Status.ACCESS_DENIED, "no")
        write(self, document, *names)

    monkeypatch.setattr(Destination, "write_document", refuses)
    assert run(toy_job(), manifest(4), options(dest), Quiet()).counts == {"ok": 4}


def test_a_model_that_is_refused_leaves_nothing_at_the_destination(tmp_path: Path) -> None:
    def refuse() -> None:
        raise ArtifactError("altered")

    job = replace(toy_job(), check=refuse)
    with pytest.raises(ArtifactError):
        run(job, manifest(4), options(tmp_path / "out"), Quiet())
    assert not (tmp_path / "out").exists()
