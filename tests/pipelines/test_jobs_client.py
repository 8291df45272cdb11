"""Jobs by name and attempt, what travels with them, and what refusals say."""

import json
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import ConfigError, LocationError
from mover_ray.operations.entry import options_of, read_spec
from mover_ray.operations.evaluate_job import EvaluateJob
from mover_ray.pipelines import jobs_client
from mover_ray.pipelines.extract import ExtractOptions
from mover_ray.pipelines.jobs_client import JobsClient
from mover_ray.pipelines.jobs_config import JobsConfig, jobs_address, read_jobs_config, read_token
from mover_ray.pipelines.jobs_http import NoAnswerError
from mover_ray.pipelines.jobs_spec import (
    JobSpec,
    base_id,
    local_locations,
    make_spec,
    mark_of_runs,
    mark_of_source,
)
from mover_ray.pipelines.score import ScoreOptions
from mover_ray.pipelines.train import TrainOptions
from tests.jobs_api import TOKEN, JobsApi

SPEC = JobSpec("extract", {"source": "s3://a/", "dest": "s3://b/", "address": "auto"})


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobsApi]:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    api = JobsApi()
    yield api
    api.stop()


def test_the_same_submission_twice_is_one_job(api: JobsApi) -> None:
    client = JobsClient(api.address)
    first = client.submit(SPEC, "january", {"team": "trust"})
    again = client.submit(SPEC, "january", {"team": "other"})
    assert (first.is_new, again.is_new) == (True, False)
    assert again.job.job_id == first.job.job_id == f"{first.job.base_id}-1"
    assert again.job.labels == {"team": "trust"}
    api.end(first.job.job_id, "SUCCEEDED", 0)
    assert not client.submit(SPEC, "january").is_new
    assert client.submit(SPEC, "january", again=True).job.attempt == 2
    assert client.submit(SPEC, "february").job.base_id != first.job.base_id


@pytest.mark.parametrize("ended", ["FAILED", "STOPPED"])
def test_what_failed_can_be_tried_again(api: JobsApi, ended: str) -> None:
    client = JobsClient(api.address)
    fresh = JobSpec("extract", {**SPEC.options, "fresh": True})
    first = client.submit(fresh, "m").job
    assert not client.resume(first.job_id).is_new
    api.end(first.job_id, ended, 5)
    second = client.resume(first.base_id)
    assert (second.job.attempt, second.is_new) == (2, True)
    assert "fresh" not in second.job.options  # it would set aside what the first has done
    api.end(second.job.job_id, ended, 5)
    third = client.submit(fresh, "m").job
    assert (third.attempt, third.options["fresh"]) == (3, True)


def test_a_success_is_not_resumed(api: JobsApi) -> None:
    client = JobsClient(api.address)
    job = client.submit(SPEC, "m").job
    api.end(job.job_id, "SUCCEEDED", 0)
    with pytest.raises(ConfigError, match="the job has succeeded"):
        client.resume(job.job_id)


def test_somebody_quicker_wins(api: JobsApi, monkeypatch: pytest.MonkeyPatch) -> None:
    client = JobsClient(api.address)
    job = client.submit(SPEC, "m").job
    monkeypatch.setattr(client, "_newest", lambda _base: None)  # as it was a moment ago
    late = client.submit(SPEC, "m")
    assert (late.job.job_id, late.is_new) == (job.job_id, False)


def test_a_head_node_that_has_just_started_is_given_time(
    api: JobsApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_client, "_AGAIN_S", 0.01)
    api.starting = 2
    assert JobsClient(api.address).submit(SPEC, "m").is_new
    api.starting = 2
    monkeypatch.setattr(jobs_client, "_START_S", -1.0)
    with pytest.raises(LocationError, match="No available agent"):
        JobsClient(api.address).submit(SPEC, "n")


def test_what_is_sent(api: JobsApi, tmp_path: Path) -> None:
    wheel = tmp_path / "mover_ray-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("mover_ray/__init__.py", "")
    config = JobsConfig(wheel=str(wheel), env={"A": "b c"}, labels={"from": "here"}, stop_s=90)
    client = JobsClient(api.address, config)
    job = client.submit(SPEC, "m", {"team": "trust"}).job
    sent = api.jobs[job.job_id]
    module, argument = shlex.split(sent["entrypoint"])[2:]
    assert module == "mover_ray.jobs.extract_faces"
    assert json.loads(argument) == SPEC.options
    assert options_of(ExtractOptions, read_spec(argument)).address == "auto"
    env = sent["runtime_env"]
    assert env["env_vars"] == {"A": "b c", "RAY_JOB_STOP_WAIT_TIME_S": "90"}
    name = env["working_dir"].removeprefix("gcs://")
    assert api.packages[name] == wheel.read_bytes()
    assert "entrypoint_num_cpus" not in sent
    assert job.labels == {"from": "here", "team": "trust"}
    # Without a wheel the image's code runs: the caller's folder never travels.
    plain = JobsClient(api.address).submit(SPEC, "m").job
    assert "working_dir" not in api.jobs[plain.job_id]["runtime_env"]
    assert plain.base_id != job.base_id


def test_a_package_is_sent_once(api: JobsApi, tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(b"wheel")
    client = JobsClient(api.address, JobsConfig(wheel=str(wheel)))
    client.submit(SPEC, "m")
    client.submit(SPEC, "n")
    assert sum(request.startswith("PUT") for request in api.requests) == 1
    for path, message in ((tmp_path / "no.whl", "cannot be read"), (Path(__file__), "not a wheel")):
        with pytest.raises(ConfigError, match=message):
            JobsClient(api.address, JobsConfig(wheel=str(path))).submit(SPEC, "m")


def test_finding(api: JobsApi) -> None:
    client = JobsClient(api.address)
    with pytest.raises(LocationError, match="no such job") as error:
        client.find("x")
    assert error.value.hint == "the cluster has no job"
    one, two = client.submit(SPEC, "m").job, client.submit(SPEC, "n").job
    api.jobs["foreign"] = {**api.jobs[one.job_id], "submission_id": "foreign", "metadata": {}}
    assert client.find(one.job_id) == client.find(one.base_id) == client.find(one.job_id[:14])
    assert [job.job_id for job in client.jobs()] == [two.job_id, one.job_id]
    with pytest.raises(LocationError, match="several jobs begin with: `extract`"):
        client.find("extract")


@pytest.mark.parametrize(
    ("token", "message"), [("", "asks for a token"), ("wrong", "refuses the token")]
)
def test_a_token_that_is_missing_or_wrong(
    api: JobsApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: str, message: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    with pytest.raises(LocationError, match=message) as error:
        JobsClient(api.address).jobs()
    assert "RAY_AUTH_TOKEN" in str(error.value.hint)


def test_refusals_and_silence(api: JobsApi, monkeypatch: pytest.MonkeyPatch) -> None:
    client = JobsClient(api.address)
    api.fails_with = 500
    with pytest.raises(LocationError, match=r"refuses with 500: .*RuntimeError: out of order$"):
        client.jobs()
    api.fails_with = None
    monkeypatch.setattr(api, "answer", lambda *_: (200, "<html>"))
    with pytest.raises(LocationError, match="what came is no JSON"):
        client.jobs()
    with pytest.raises(NoAnswerError, match=r"no Jobs API answers at: `http://127.0.0.1:9`"):
        JobsClient("http://127.0.0.1:9").jobs()
    with pytest.raises(LocationError, match=r"no Jobs API answers|certificate"):
        JobsClient(api.address.replace("http", "https")).jobs()


def test_where_the_token_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert read_token(JobsConfig()) is None
    (tmp_path / ".ray").mkdir()
    for place, content in ((tmp_path / ".ray" / "auth_token", "home\n"), (tmp_path / "t", "file")):
        place.write_text(content)
    assert read_token(JobsConfig()) == "home"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "t"))
    assert read_token(JobsConfig()) == "file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "variable")
    assert read_token(JobsConfig()) == "variable"
    assert read_token(JobsConfig(token_file=str(tmp_path / "t"))) == "file"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert read_token(JobsConfig()) is None
    with pytest.raises(ConfigError, match="the token cannot be read"):
        read_token(JobsConfig(token_file=str(tmp_path / "missing")))


def test_which_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    assert jobs_address({}) == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # Ray's own protocol
    assert jobs_address({}) == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://env:8265")
    assert jobs_address({}) == "http://env:8265"
    settings = {"ray": {"address": "https://set/"}}
    assert jobs_address(settings) == "https://set"
    assert jobs_address(settings, "http://given:1/") == "http://given:1"
    with pytest.raises(ConfigError, match="not the address of a Jobs API: `ray://a:1`"):
        jobs_address(settings, "ray://a:1")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"weel": "a"}, "unknown setting: `jobs.weel`"),
        ({"stop_s": 1}, "stop_s is too small"),
        ({"env": {"A": 1}}, "`jobs.env.A` has the wrong type"),
        ("a", "`jobs` is a section"),
    ],
)
def test_wrong_settings(section: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_jobs_config({"jobs": section})


def test_a_spec_travels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    options = ScoreOptions(
        source="videos", dest="s3://b/out", model="m", limit=3, retry=(), address="http://x:1",
        settings={"pipeline": {"workers": 2}},
    )  # fmt: skip
    spec = make_spec("score", options, max_failed=0)
    assert spec.options == {
        "source": str(tmp_path / "videos"), "dest": "s3://b/out", "model": str(tmp_path / "m"),
        "limit": 3, "retry": [], "address": "auto", "max_failed": 0,
        "settings": {"pipeline": {"workers": 2}},
    }  # fmt: skip
    assert local_locations(spec) == [str(tmp_path / "videos"), str(tmp_path / "m")]
    there = {**spec.options}
    there.pop("max_failed")
    assert options_of(ScoreOptions, there).retry == ()


def test_names_are_no_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    named = make_spec("pretrain", TrainOptions(preset="p", dest="d", start="timm:vit"))
    assert (named.options["preset"], named.options["start"]) == ("p", "timm:vit")
    own = make_spec("pretrain", TrainOptions(preset="p.toml", dest="d", corpus=("c", "s3://c")))
    assert own.options["preset"] == str(tmp_path / "p.toml")
    assert own.options["corpus"] == [str(tmp_path / "c"), "s3://c"]
    measured = make_spec("evaluate", EvaluateJob(results=("a=runs/1", "s3://r")))
    assert measured.options["results"] == [f"a={tmp_path}/runs/1", "s3://r"]
    assert options_of(EvaluateJob, dict(measured.options)).results[1] == "s3://r"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ExtractOptions(source="a", dest="b", engine="local"), "a job cannot use the engine"),
        (
            ExtractOptions(source="a", dest="b", settings={"score": {"sampling_secret": "x"}}),
            "`sampling_secret` cannot be sent",
        ),
    ],
)
def test_what_cannot_travel(options: ExtractOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_spec("extract", options)


def test_a_label_has_a_name() -> None:
    with pytest.raises(ConfigError, match="not a label: `Team A`"):
        JobsClient("http://127.0.0.1:9").submit(SPEC, "m", {"Team A": "x"})


def test_the_mark_is_that_of_the_videos(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"a")
    options = ExtractOptions(source=str(tmp_path / "in"), dest=str(tmp_path / "out"))
    january = mark_of_source(options)
    assert mark_of_source(options) == january
    (tmp_path / "in" / "b.mp4").write_bytes(b"b")
    assert mark_of_source(options) != january


def test_the_mark_of_runs_is_that_of_their_records(tmp_path: Path) -> None:
    unfinished = mark_of_runs([str(tmp_path)])
    (tmp_path / "_SUCCESS.json").write_text("{}")
    assert mark_of_runs([str(tmp_path)]) != unfinished


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans(), min_size=1))
def test_an_id_depends_on_every_option_and_not_on_their_order(options: dict[str, object]) -> None:
    spec = JobSpec("score", options)
    turned = JobSpec("score", dict(reversed(options.items())))
    assert base_id(spec, "m", "") == base_id(turned, "m", "")
    name = next(iter(options))
    changed = JobSpec("score", {**options, name: f"{options[name]!r}x"})
    assert len({base_id(spec, "m", ""), base_id(changed, "m", ""), base_id(spec, "m", "w")}) == 3
