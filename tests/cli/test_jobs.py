"""`mover-ray jobs` on a terminal: what it prints and how it ends."""

import json

import pytest

from mover_ray.operations import jobs as operation
from tests.jobs_api import TOKEN, JobsApi

PROGRESS = {
    "attempt": 1, "total": 2000, "resumed": 0, "done": 500, "counts": {"ok": 490, "corrupt": 10},
    "total_bytes": 8 << 30, "done_bytes": 2 << 30, "videos_per_s": 2.5, "eta_s": 600.0,
    "updated_at": "2026-01-01T00:00:00.000Z",
}  # fmt: skip


@pytest.fixture
def api(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setattr(operation, "_POLL_S", 0.01)
    api = JobsApi()
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", api.address)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"a")
    yield api
    api.stop()


@pytest.fixture
def job_id(mover_ray, api):
    done = mover_ray(
        "jobs", "submit", "--label", "team=trust", "extract", "in", "--out", "o", "--json"
    )
    assert done.code == 0, done.err
    return json.loads(done.out)["job_id"]


def test_submit_says_what_to_do_next(mover_ray, api, tmp_path):
    done = mover_ray("jobs", "submit", "extract", "in", "--out", "o")
    first, *further = done.out.splitlines()
    assert first.startswith("submitted: extract-")
    assert [line.split()[-5:-1] for line in further] == [
        ["it:", "mover-ray", "jobs", "status"],
        ["mover-ray", "jobs", "logs", "-f"],
    ]
    assert f"note: every node of the cluster must see: {tmp_path}/in, {tmp_path}/o" in done.err
    again = mover_ray("jobs", "submit", "extract", "in", "--out", "o").out
    assert again.startswith("the same job is there (running): extract-")


def test_a_profile_reaches_the_command_behind_submit(mover_ray, api, tmp_path):
    (tmp_path / "mover-ray.toml").write_text(
        "[profile.prod.jobs.labels]\nstage = 'prod'\n[profile.prod.pipeline]\nworkers = 3\n"
    )
    done = mover_ray("jobs", "submit", "--profile", "prod", "extract", "in", "--out", "o")
    assert done.code == 0, done.err
    (job,) = json.loads(mover_ray("jobs", "list", "--json").out)
    assert job["labels"] == {"stage": "prod"}
    assert job["options"]["settings"]["pipeline"] == {"workers": 3}


def test_status_in_words(mover_ray, api, job_id, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "_progress.json").write_text(json.dumps(PROGRESS))
    lines = dict(
        line.split("  ", 1) for line in mover_ray("jobs", "status", job_id).out.splitlines()
    )
    shown = {name: value.strip() for name, value in lines.items()}
    assert shown["state"] == "running"
    assert shown["labels"] == "team=trust"
    assert shown["videos"] == "500 of 2,000 (25 %)"
    assert shown["GiB"] == "2 of 8 (25 %)"
    assert shown["rate"] == "2.5 videos/s, 10 min left"
    assert shown["failed"] == "corrupt 10"


def test_list_is_a_table(mover_ray, api, job_id):
    (row,) = [line.split() for line in mover_ray("jobs", "list").out.splitlines() if job_id in line]
    assert (row[0], row[1], row[-1]) == (job_id, "running", "team=trust")


def test_wait_ends_as_the_job_does(mover_ray, api, job_id):
    late = mover_ray("jobs", "wait", job_id, "--timeout", "0.05")
    assert (late.code, "has not ended after 0 s" in late.error) == (124, True)
    api.end(job_id, "FAILED", 6)
    failed = mover_ray("jobs", "wait", job_id)
    assert failed.code == 6
    assert "failed with exit code 6" in failed.out
    assert failed.hint == f"hint: `mover-ray jobs resume {job_id}` tries it again"
    assert mover_ray("jobs", "resume", job_id).out.startswith(f"submitted: {job_id[:-1]}2")
    stopped = mover_ray("jobs", "stop", f"{job_id[:-1]}2", "--json")
    assert json.loads(stopped.out)["job"]["state"] == "stopped"
    assert mover_ray("jobs", "wait", f"{job_id[:-1]}2").code == 143


def test_a_command_with_an_address_waits_for_its_job(mover_ray, api, job_id):
    api.end(job_id, "SUCCEEDED", 0)
    done = mover_ray("extract", "in", "--out", "o", "--address", api.address, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["job"]["job_id"] == job_id
    assert f"the same job is there (succeeded): {job_id}" in done.err


def test_logs(mover_ray, api, job_id):
    api.log = "one\ntwo\nthree\n"
    assert mover_ray("jobs", "logs", job_id).out == api.log
    assert mover_ray("jobs", "logs", job_id, "--tail", 1).out == "three\n"


def test_ctrl_c_leaves_the_job_alone(mover_ray, api, job_id, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(operation, "look_at", interrupted)
    ended = mover_ray("jobs", "wait", job_id)
    assert ended.code == 130
    assert ended.error == f"error: no longer waiting; the job goes on: `{job_id}`"
    assert api.jobs[job_id]["status"] == "RUNNING"
