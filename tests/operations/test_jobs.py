"""What the commands make of jobs: progress, waiting, exit codes, filters."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mover_ray.errors import ConfigError, LocationError
from mover_ray.operations import jobs as operation
from mover_ray.operations.evaluate_job import EvaluateJob
from mover_ray.operations.jobs import JobFilter, SubmitOptions
from mover_ray.pipelines.extract import ExtractOptions
from mover_ray.pipelines.jobs_client import JobRecord, JobsClient
from mover_ray.pipelines.jobs_http import NoAnswerError
from mover_ray.pipelines.jobs_progress import cluster_load, read_progress
from mover_ray.pipelines.jobs_spec import JobSpec
from mover_ray.pipelines.progress import Quiet
from tests.jobs_api import TOKEN, JobsApi

PROGRESS = {
    "attempt": 2, "total": 10, "resumed": 4, "done": 6, "counts": {"ok": 1, "corrupt": 1},
    "total_bytes": 1000, "done_bytes": 600, "videos_per_s": 0.5, "eta_s": 8.0,
    "updated_at": "2026-01-01T00:00:00.000Z",
}  # fmt: skip
SUCCESS = {
    "attempt": 2, "total": 10, "files": [], "counts": {"ok": 9, "corrupt": 1},
    "total_bytes": 1000, "finished_at": "2026-01-01T01:00:00.000Z",
}  # fmt: skip


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobsApi]:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setattr(operation, "_POLL_S", 0.01)
    api = JobsApi()
    yield api
    api.stop()


@pytest.fixture
def client(api: JobsApi) -> JobsClient:
    return JobsClient(api.address)


@pytest.fixture
def job(client: JobsClient, tmp_path: Path) -> JobRecord:
    spec = JobSpec("extract", {"source": "s3://a/", "dest": str(tmp_path), "address": "auto"})
    return client.submit(spec, "m", {"team": "trust"}).job


class Shown(Quiet):
    def __init__(self) -> None:
        self.steps: list[Any] = []

    def start(self, total: int, done: int) -> None:
        self.steps.append((total, done))

    def advance(self, counts: Any) -> None:
        self.steps.append(dict(counts))

    def message(self, text: str) -> None:
        self.steps.append(text.rsplit(maxsplit=1)[-1])


def write(folder: Path, name: str, document: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(document))


def test_progress_before_during_and_after(tmp_path: Path) -> None:
    assert read_progress(str(tmp_path)) is None
    write(tmp_path, "_progress.json", PROGRESS)
    during = read_progress(str(tmp_path))
    assert during
    assert (during.finished, during.done, during.done_bytes, during.failed) == (False, 6, 600, 1)
    assert during.written_s == 1767225600.0
    write(tmp_path, "_SUCCESS.json", SUCCESS)
    after = read_progress(str(tmp_path))
    assert after
    assert (after.finished, after.done, after.done_bytes, after.eta_s) == (True, 10, 1000, None)
    assert after.counts == {"ok": 9, "corrupt": 1}
    write(tmp_path, "_progress.json", {**PROGRESS, "attempt": 3})  # looking at new videos
    again = read_progress(str(tmp_path))
    assert again
    assert not again.finished


def test_status_forgets_the_progress_of_an_earlier_start(
    api: JobsApi, client: JobsClient, job: JobRecord, tmp_path: Path
) -> None:
    write(tmp_path, "_progress.json", {**PROGRESS, "updated_at": "2020-01-01T00:00:00.000Z"})
    assert operation.look_at(client, job.job_id).progress is None
    write(tmp_path, "_progress.json", PROGRESS)
    status = operation.look_at(client, job.job_id)
    assert status.progress
    assert status.progress.total == 10
    assert status.load is None  # this server has no page of nodes
    assert json.dumps(status.as_json())
    (tmp_path / "_progress.json").write_text("{")
    assert "damaged" in str(operation.look_at(client, job.job_id).unreadable)


def test_waiting_shows_each_step_once(
    api: JobsApi, client: JobsClient, job: JobRecord, tmp_path: Path
) -> None:
    shown = Shown()
    write(tmp_path, "_progress.json", PROGRESS)
    assert operation.wait_for(client, job.job_id, shown, timeout_s=0.05) is None
    assert shown.steps == ["running", (10, 6)]
    later = {**PROGRESS, "done": 8, "counts": {"ok": 3, "corrupt": 1}}
    write(tmp_path, "_progress.json", later)
    api.end(job.job_id, "FAILED", 5)
    shown = Shown()
    status = operation.wait_for(client, "extract", shown)
    assert status
    assert status.job.state == "failed"
    assert shown.steps == ["failed", (10, 8)]


def test_steps_are_differences(client: JobsClient, job: JobRecord, tmp_path: Path) -> None:
    shown = Shown()
    show = operation._Shown(shown)
    for counts, done in (({"ok": 1}, 5), ({"ok": 3, "corrupt": 1}, 8), ({"ok": 3}, 8)):
        write(tmp_path, "_progress.json", {**PROGRESS, "counts": counts, "done": done})
        show.update(operation.look_at(client, job.job_id))
    assert shown.steps == ["running", (10, 5), {"ok": 2, "corrupt": 1}, {}]


def test_waiting_outlives_a_head_node_that_restarts(
    api: JobsApi, client: JobsClient, job: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([NoAnswerError("gone"), NoAnswerError("gone")])
    look_at = operation.look_at

    def flaky(*arguments: Any) -> Any:
        for error in answers:
            raise error
        return look_at(*arguments)

    monkeypatch.setattr(operation, "look_at", flaky)
    api.end(job.job_id, "SUCCEEDED", 0)
    assert operation.wait_for(client, job.job_id, Quiet())
    answers = iter([NoAnswerError("gone")])
    monkeypatch.setattr(operation, "_PATIENCE_S", -1.0)
    with pytest.raises(NoAnswerError):
        operation.wait_for(client, job.job_id, Quiet())


def test_stop_waits_for_the_end(api: JobsApi, client: JobsClient, job: JobRecord) -> None:
    assert operation.stop(client, job.job_id, 5.0).job.state == "stopped"
    asked = len([request for request in api.requests if request.endswith("/stop")])
    assert operation.stop(client, job.job_id, 5.0).job.state == "stopped"
    assert len([request for request in api.requests if request.endswith("/stop")]) == asked == 1


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [("SUCCEEDED", 0, 0), ("FAILED", 5, 5), ("FAILED", None, 1), ("FAILED", -9, 1),
     ("STOPPED", None, 143)],
)  # fmt: skip
def test_exit_codes(
    api: JobsApi, client: JobsClient, job: JobRecord, state: str, code: int | None, expected: int
) -> None:
    api.end(job.job_id, state, code)
    assert operation.exit_code_of(client.find(job.job_id)) == expected


def test_filters(client: JobsClient, job: JobRecord) -> None:
    def found(**wanted: Any) -> int:
        return len(operation.list_jobs(client, JobFilter(**wanted)))

    assert found() == found(states=["running"]) == found(labels={"team": "trust"}) == 1
    assert found(commands=["extract", "score"]) == 1
    assert found(states=["failed"]) == found(labels={"team": "x"}) == found(commands=["score"]) == 0
    assert operation.list_jobs(client, JobFilter(), limit=0) == []
    with pytest.raises(ConfigError, match="unknown state: `runing`") as error:
        JobFilter(states=["runing"])
    assert error.value.hint == "did you mean `running`?"


def test_submitting_lists_the_source_unless_a_mark_is_given(
    client: JobsClient, tmp_path: Path
) -> None:
    options = ExtractOptions(source=str(tmp_path / "missing"), dest=str(tmp_path / "out"))
    with pytest.raises(LocationError):
        operation.submit(client, "extract", options, SubmitOptions())
    done = operation.submit(client, "extract", options, SubmitOptions(mark="x", labels=("a=b",)))
    assert (done.is_new, done.job.labels) == (True, {"a": "b"})
    with pytest.raises(ConfigError, match="not a label: `a`"):
        operation.submit(client, "extract", options, SubmitOptions(mark="x", labels=("a",)))


def test_an_evaluation_is_marked_by_its_results(client: JobsClient, tmp_path: Path) -> None:
    options = EvaluateJob(results=(f"mover={tmp_path}",))
    first = operation.submit(client, "evaluate", options, SubmitOptions()).job
    (tmp_path / "_SUCCESS.json").write_text("{}")
    assert (
        operation.submit(client, "evaluate", options, SubmitOptions()).job.base_id != first.base_id
    )
    assert operation.look_at(client, first.job_id).progress is None


def test_following_goes_on_where_the_connection_broke(
    api: JobsApi, client: JobsClient, job: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.log = "one\ntwo\n"
    further = "three\nfour\n"

    def pieces(_job_id: str, skip: int) -> Iterator[str]:
        text = (api.log + further)[skip:]
        yield text[:6]
        if len(text) > 6:
            raise NoAnswerError("it broke off")

    monkeypatch.setattr(client, "follow", pieces)
    assert "".join(operation.follow(client, job.job_id, 1)) == "two\n" + further
    monkeypatch.setattr(operation, "_PATIENCE_S", -1.0)
    with pytest.raises(NoAnswerError):
        list(operation.follow(client, job.job_id, 1))


@pytest.mark.parametrize(("lines", "expected"), [(None, "a\nb\nc"), (2, "b\nc"), (0, "")])
def test_tail(lines: int | None, expected: str) -> None:
    assert operation.tail("a\nb\nc", lines) == expected


def test_load_counts_nodes_by_their_cpus() -> None:
    def node(cpus: int, busy: float, *gpus: int, state: str = "ALIVE") -> dict[str, Any]:
        cards = [{"utilizationGpu": used} for used in gpus]
        return {"raylet": {"state": state}, "cpu": busy, "cpus": [cpus, cpus], "gpus": cards}

    load = cluster_load([node(12, 100.0), node(4, 0.0, 80, 40), node(8, 50.0, state="DEAD")])
    assert (load.nodes, load.cpu_busy, load.gpus, load.gpu_busy) == (2, 0.75, 2, 0.6)
    assert cluster_load([]).cpu_busy is None
    blind = cluster_load([{**node(4, 10.0), "gpus": [{"utilizationGpu": None}]}])
    assert (blind.gpus, blind.gpu_busy) == (1, None)
