"""How much, how slowly and how often one may ask (A3, A4)."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.serving.service import CountedBody, Service, ToyEngine, serving

START = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def test_a_declared_size_over_the_limit_is_refused_unread(
    settings: dict[str, Any], the_keys: dict[str, str]
) -> None:
    with serving(settings | {"limits": {"upload_bytes": 1000}}, key=the_keys["alice"]) as service:
        for length in ("1001", "6442450944", "9" * 40):
            body = CountedBody(pieces=10)
            answer = service.ask(
                "POST", "/v1/score", content=body, headers={**FORM, "Content-Length": length}
            )
            assert (answer.status_code, body.asked_for) == (413, 0)


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/json"])
def test_an_endless_body_without_a_length_is_cut_off(
    settings: dict[str, Any], the_keys: dict[str, str], kind: str
) -> None:
    limits = {"upload_bytes": 2**20}
    with serving(settings | {"limits": limits}, key=the_keys["alice"]) as service:
        body = CountedBody(pieces=98_304)  # 6 GiB
        answer = service.ask("POST", "/v1/score", content=body, headers={"Content-Type": kind})
        assert answer.status_code in (400, 413)
        assert body.asked_for <= 2**20 // 65_536 + 2
        assert answer.headers["content-type"] == "application/problem+json"


def test_an_endless_file_in_a_form_is_cut_off(
    settings: dict[str, Any], the_keys: dict[str, str]
) -> None:
    body = CountedBody(pieces=98_304, start=START)
    limits = {"upload_bytes": 2**20}
    with serving(settings | {"limits": limits}, key=the_keys["alice"]) as service:
        answer = service.ask("POST", "/v1/score", content=body, headers=FORM)
    assert answer.status_code == 413
    assert body.asked_for <= 2**20 // 65_536 + 2


@pytest.mark.parametrize("limits", [{"body_idle_s": 0.1}, {"body_s": 0.2}])
def test_a_body_that_drips_is_given_up(
    settings: dict[str, Any], the_keys: dict[str, str], limits: dict[str, float], engine: ToyEngine
) -> None:
    pause_s = 0.3 if "body_idle_s" in limits else 0.05
    body = CountedBody(pieces=1000, size=1, pause_s=pause_s, start=START)
    with serving(settings | {"limits": limits}, engine, the_keys["alice"]) as service:
        answer = service.ask("POST", "/v1/score", content=body, headers=FORM)
        assert answer.status_code == 408
        assert body.asked_for < 20
        after = service.post_video()
        assert after.status_code == 200, "the slot of the slow request was not given back"


def test_a_tenant_that_asks_too_often_waits_and_another_does_not(
    settings: dict[str, Any], the_keys: dict[str, str]
) -> None:
    limits = {"burst": 3, "rate_per_minute": 6.0}
    with serving(settings | {"limits": limits}, key=the_keys["alice"]) as service:
        answers = [service.ask("GET", "/v1/models") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].headers["retry-after"] == "10"
        assert service.ask("GET", "/v1/models", key=the_keys["bob"]).status_code == 200


def test_a_full_service_refuses_before_it_reads(
    settings: dict[str, Any], the_keys: dict[str, str], engine: ToyEngine
) -> None:
    limits = {"in_flight": 1, "wait_s": 0.0}
    with serving(settings | {"limits": limits}, engine, the_keys["alice"]) as service:
        engine.release.clear()
        first = service.post_video()
        assert first.status_code == 202
        body = CountedBody(pieces=10)
        second = service.ask("POST", "/v1/score", content=body, headers=FORM)
        assert (second.status_code, body.asked_for) == (429, 0)
        assert int(second.headers["retry-after"]) >= 1
        engine.release.set()


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"x", "text/plain", 415),
        (b"", "application/json", 422),
        (b"{", "application/json", 422),
        (b"[" * 50_000, "application/json", 422),
        (b'{"uri": 3}', "application/json", 422),
        (b'{"uri": "s3://shared/a.mp4", "more": 1}', "application/json", 422),
        (b"x" * 70_000, "application/json", 413),
        (b"--c\r\n\r\n", "multipart/form-data; boundary=b", 400),
        (b"", "multipart/form-data", 400),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 422),
    ],
)
def test_a_body_of_another_form_is_refused(
    service: Service, engine: ToyEngine, content: bytes, kind: str, status: int
) -> None:
    answer = service.ask("POST", "/v1/score", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == status
    assert engine.tasks == []


def test_a_request_is_counted_by_its_route_alone(
    service: Service, the_keys: dict[str, str]
) -> None:
    service.ask("GET", "/v1/jobs/0123456789abcdef0123456789abcdef")
    text = service.ask("GET", "/metrics", key=the_keys["admin"]).text
    assert (
        'mover_ray_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} 1.0' in text
    )
    assert "0123456789abcdef" not in text


def test_what_a_client_sends_stays_in_its_line(service: Service, settings: dict[str, Any]) -> None:
    service.ask("POST", "/v1/score", json={"uri": 's3://shared/a\n{"tenant":"root"}'})
    (line,) = Path(settings["audit_log"]).read_text().splitlines()
    assert json.loads(line)["facts"]["uri"].startswith("s3://shared/a\n")
