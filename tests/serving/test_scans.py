"""Archive jobs over HTTP: within the allow-list, and each tenant's own (A2, A5)."""

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.jobs_api import TOKEN, JobsApi
from tests.made_results import make_results, scored
from tests.serving.service import Service, serving


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobsApi]:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    api = JobsApi()
    yield api
    api.stop()


@pytest.fixture
def service(
    settings: dict[str, Any], cluster: JobsApi, the_keys: dict[str, str], tmp_path: Any
) -> Iterator[Service]:
    scans = {"address": cluster.address, "dest": f"{tmp_path}/{{tenant}}/"}
    with serving(settings | {"scans": scans}, key=the_keys["alice"]) as running:
        yield running


def submit(service: Service, source: str = "s3://shared/2026/", **arguments: Any) -> Any:
    return service.ask("POST", "/v1/scans", json={"source": source}, **arguments)


def test_a_scan_is_a_job_of_the_batch_path(service: Service, cluster: JobsApi) -> None:
    answer = submit(service)
    assert answer.status_code == 202, answer.text
    scan = answer.json()
    assert scan["state"] == "running"
    (job,) = cluster.jobs.values()
    assert "score_videos" in " ".join(shlex.split(job["entrypoint"]))
    assert "s3://shared/2026/" in json.dumps(job)
    assert "/alice/" in scan["dest"]


def test_the_same_key_scans_once(service: Service, cluster: JobsApi) -> None:
    headers = {"Idempotency-Key": "one"}
    first, second = (submit(service, headers=headers).json() for _ in "ab")
    assert first["scan_id"] == second["scan_id"]
    assert len(cluster.jobs) == 1


def test_a_scan_is_its_tenants_alone(
    service: Service, cluster: JobsApi, the_keys: dict[str, str]
) -> None:
    scan_id = submit(service).json()["scan_id"]
    place = f"/v1/scans/{scan_id}"
    bob = the_keys["bob"]
    assert service.ask("GET", place, key=bob).status_code == 404
    assert service.ask("DELETE", place, key=bob).status_code == 404
    assert service.ask("GET", "/v1/scans", key=bob).json() == {"scans": []}
    assert service.ask("GET", place).status_code == 200
    # A unique beginning of an id is enough on the command line, but not here.
    assert service.ask("GET", place[:-3]).status_code == 404
    assert next(iter(cluster.jobs.values()))["status"] == "RUNNING"


def test_its_owner_and_an_administrator_stop_a_scan(
    service: Service, the_keys: dict[str, str]
) -> None:
    for key in (service.key, the_keys["admin"]):
        scan_id = submit(service).json()["scan_id"]
        answer = service.ask("DELETE", f"/v1/scans/{scan_id}", key=key)
        assert (answer.status_code, answer.json()["state"]) == (202, "stopped")


def test_the_results_of_a_scan_are_paged(service: Service, the_keys: dict[str, str]) -> None:
    scan = submit(service).json()
    params = {"scan": scan["scan_id"]}
    make_results(scan["dest"], [[scored("/a.mp4", 0.75)]])
    (row,) = service.ask("GET", "/v1/results", params=params).json()["results"]
    assert row["score"] == 0.75
    other = service.ask("GET", "/v1/results", params=params, key=the_keys["bob"])
    assert other.status_code == 404


@pytest.mark.parametrize(
    "source", ["/etc/", "s3://own/bob/", "s3://other/", "http://127.0.0.1/", "s3://shared/../x/"]
)
def test_a_source_outside_the_allow_list_is_refused(
    service: Service, cluster: JobsApi, source: str
) -> None:
    assert submit(service, source).status_code == 403
    assert cluster.jobs == {}


def test_a_cluster_that_fails_shows_nothing_of_itself(service: Service, cluster: JobsApi) -> None:
    cluster.fails_with = 500
    answer = submit(service)
    assert answer.status_code == 503
    assert cluster.address not in answer.text


def test_without_a_cluster_there_are_no_scans(
    settings: dict[str, Any], the_keys: dict[str, str]
) -> None:
    with serving(settings, key=the_keys["alice"]) as service:
        assert submit(service).status_code == 404
