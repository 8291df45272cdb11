"""After `forget` no byte at the destination names the video, and the rest is proved."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mover_ray.errors import ConfigError, HeldError, LocationError
from mover_ray.operations import forget as module
from mover_ray.operations.forget import forget
from mover_ray.operations.runs import verify_run
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.lease import LeaseConfig, hold
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.results import open_results
from tests.made_results import failed, id_of, make_results, scored, small_run

TWO = id_of("/a/two.mp4")


@pytest.fixture
def run(tmp_path):
    return small_run(tmp_path / "run")


def files_naming(folder, video_id):
    tables = (path for path in Path(folder).rglob("*.parquet"))
    return [path for path in tables if video_id in pq.read_table(path)["video_id"].to_pylist()]


def uris(run):
    return {uri for rows in open_results(run).tables(["uri"]) for uri in rows["uri"].to_pylist()}


@pytest.mark.parametrize("name", ["two.mp4", "/a/two.mp4", str(TWO)])
def test_a_video_is_gone_and_the_rest_is_proved(run, name):
    before = dict(open_results(run).success or {})
    found = forget(run, name, Quiet())
    assert (found.rows, found.masks, found.video_ids) == (1, 1, (str(TWO),))
    assert files_naming(run, TWO) == []
    assert uris(run) == {"/a/one.mp4", "/b/three.mp4", "/b/one.mp4", "/b/none.mp4", "/b/=bad.mp4"}
    assert verify_run(run).proved
    after = dict(open_results(run).success or {})
    assert (after["total"], after["counts"]["ok"]) == (5, 3)
    assert (after["run_id"], after["seconds"]) == (before["run_id"], before["seconds"])
    assert after["manifest_sha256"] != before["manifest_sha256"]


def test_what_was_set_aside_goes_too(tmp_path):
    dest = tmp_path / "run"
    make_results(dest, [[failed("/a/two.mp4", "timeout", "slow")]], finish=False)
    make_results(dest, [[scored("/a/two.mp4", 0.5)], [scored("/a/one.mp4", 0.5)]])
    assert len(files_naming(dest, TWO)) == 3  # the row, the manifest, the row that was replaced
    found = forget(str(dest), "two.mp4", Quiet())
    assert found.leftovers == 2
    assert files_naming(dest, TWO) == []
    assert verify_run(str(dest)).proved


@pytest.mark.parametrize("broken", ["begin", "write_manifest", "finish", "_purge"])
def test_a_crash_leaves_a_proved_run_and_the_same_command_ends_the_work(run, broken, monkeypatch):
    def crash(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if broken == "begin":
            patch.setattr("mover_ray.pipelines.lease.FileLease.begin", crash)
        elif broken == "write_manifest":
            patch.setattr(Destination, broken, crash)
        elif broken == "finish":
            patch.setattr("mover_ray.operations.forget.proof.finish", crash)
        else:
            patch.setattr(module, broken, crash)
        with pytest.raises(KeyboardInterrupt):
            forget(run, str(TWO), Quiet())
    assert len(uris(run)) in (5, 6)
    forget(run, str(TWO), Quiet())
    assert files_naming(run, TWO) == []
    assert verify_run(run).proved
    assert len(uris(run)) == 5


def test_the_last_video_leaves_an_empty_proved_run(tmp_path):
    run = make_results(tmp_path / "run", [[scored("/a/two.mp4", 0.5)]])
    forget(run, "two.mp4", Quiet())
    assert files_naming(run, TWO) == []
    assert (Destination(run, "results").success() or {})["total"] == 0


def test_who_is_meant_must_be_clear(run):
    with pytest.raises(LocationError, match="no such video"):
        forget(run, "four.mp4", Quiet())
    with pytest.raises(LocationError, match="2 videos have this name"):
        forget(run, "one.mp4", Quiet())
    assert len(uris(run)) == 6


def test_only_a_finished_run_of_rows_of_videos(tmp_path):
    make_results(tmp_path / "open", [[scored("/a.mp4", 0.5)]], finish=False)
    with pytest.raises(LocationError, match="not finished"):
        forget(str(tmp_path / "open"), "a.mp4", Quiet())
    with pytest.raises(LocationError, match="no run at"):
        forget(str(tmp_path / "none"), "a.mp4", Quiet())


def test_forged_corpora_are_refused(run):
    destination = Destination(run, "results")
    last = destination.last_attempt() or {}
    last["identity"] = {**last["identity"], "command": "forge"}
    destination.write_document(last, "_attempts", "00001.json")
    with pytest.raises(ConfigError, match="forge"):
        forget(run, "two.mp4", Quiet())


def test_a_live_run_is_not_disturbed(run, monkeypatch):
    monkeypatch.setattr(module, "LeaseConfig", lambda: LeaseConfig(wait_s=0.0))
    with (
        hold(Destination(run, "results"), LeaseConfig(), Quiet()),
        pytest.raises(HeldError),
    ):
        forget(run, "two.mp4", Quiet())


@pytest.mark.cluster
def test_in_a_bucket_too(s3_folder):
    run = small_run(f"{s3_folder}/run")
    found = forget(run, "two.mp4", Quiet())
    assert found.versioned
    assert found.rows == 1
    assert verify_run(run).proved
    assert len(uris(run)) == 5
