"""Scorings that outlast their request, keys that count once, and whose they are (A2)."""

import asyncio
import json
from typing import Any

import pytest

from mover_ray.serving.config import LimitsConfig
from mover_ray.serving.engine import LostError
from mover_ray.serving.jobs import JobBook, new_job
from mover_ray.serving.problems import Problem
from mover_ray.serving.score_service import ScoreService
from tests.serving.service import Service, ToyEngine, serving

ASYNC = {"Prefer": "respond-async"}


def test_a_job_runs_to_its_end(service: Service, engine: ToyEngine) -> None:
    engine.release.clear()
    answer = service.post_video(headers=ASYNC)
    assert answer.status_code == 202
    place = answer.headers["location"]
    assert service.ask("GET", place).json()["state"] == "running"
    engine.release.set()
    job = _ended(service, place)
    assert (job["state"], job["result"]["score"]) == ("succeeded", 0.25)


def test_what_takes_long_becomes_a_job_by_itself(
    settings: dict[str, Any], engine: ToyEngine, the_keys: dict[str, str]
) -> None:
    engine.delay_s = 0.3
    limits = {"wait_s": 0.05}
    with serving(settings | {"limits": limits}, engine, the_keys["alice"]) as service:
        answer = service.post_video()
        assert answer.status_code == 202
        assert _ended(service, answer.headers["location"])["state"] == "succeeded"


def test_a_job_is_its_tenants_alone(service: Service, the_keys: dict[str, str]) -> None:
    place = service.post_video(headers=ASYNC).headers["location"]
    assert service.ask("GET", place, key=the_keys["bob"]).status_code == 404
    assert service.ask("GET", place).status_code == 200


@pytest.mark.parametrize("job_id", ["0" * 32, "..%2f..%2fkeys", "A" * 32, "x", "%00"])
def test_an_unknown_job_is_not_found(service: Service, job_id: str) -> None:
    assert service.ask("GET", f"/v1/jobs/{job_id}").status_code == 404


def test_the_same_key_scores_once(service: Service, engine: ToyEngine) -> None:
    answers = [service.post_video(headers={"Idempotency-Key": "one"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert len(engine.tasks) == 1


def test_the_same_key_at_the_same_time_scores_once(service: Service, engine: ToyEngine) -> None:
    engine.delay_s = 0.2

    async def both() -> list[Any]:
        files = {"file": ("a.mp4", b"video")}
        headers = {"Idempotency-Key": "two"}
        asked = [service.asked("POST", "/v1/score", files=files, headers=headers) for _ in "ab"]
        return await asyncio.gather(*asked)

    first, second = service.run(both())
    assert first.json() == second.json()
    assert len(engine.tasks) == 1


def test_a_key_of_another_request_is_refused(service: Service) -> None:
    headers = {"Idempotency-Key": "three"}
    assert service.post_video(b"one", headers=headers).status_code == 200
    answer = service.post_video(b"two", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_another_tenant_may_use_the_same_key(
    service: Service, engine: ToyEngine, the_keys: dict[str, str]
) -> None:
    headers = {"Idempotency-Key": "four"}
    own = service.post_video(b"one", headers=headers).json()
    others = service.post_video(b"two", headers=headers, key=the_keys["bob"]).json()
    assert own["run_id"] != others["run_id"]
    assert len(engine.tasks) == 2


def test_a_key_whose_scoring_was_lost_may_try_again(service: Service, engine: ToyEngine) -> None:
    headers = {"Idempotency-Key": "five"}
    engine.error = LostError()
    assert service.post_video(headers=headers).status_code == 503
    engine.error = None
    assert service.post_video(headers=headers).status_code == 200


def test_a_client_that_hangs_up_gives_its_slot_back(
    settings: dict[str, Any], engine: ToyEngine, the_keys: dict[str, str]
) -> None:
    engine.release.clear()
    limits = {"in_flight": 1}
    with serving(settings | {"limits": limits}, engine, the_keys["alice"]) as service:

        async def hang_up() -> None:
            files = {"file": ("a.mp4", b"video")}
            asking = asyncio.create_task(service.asked("POST", "/v1/score", files=files))
            while not engine.tasks:
                await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

        service.run(hang_up())
        engine.release.set()
        assert service.post_video().status_code == 200


def test_the_end_waits_for_what_is_under_way(
    settings: dict[str, Any], the_keys: dict[str, str], tmp_path: Any
) -> None:
    engine = ToyEngine(delay_s=0.3)
    state = tmp_path / "state"
    with serving(settings | {"state": str(state)}, engine, the_keys["alice"]) as service:
        assert service.post_video(headers=ASYNC).status_code == 202
    (kept,) = (state / "jobs").rglob("*.json")
    assert json.loads(kept.read_text())["state"] == "succeeded"


def test_who_stops_admits_nothing_more() -> None:
    async def stop() -> int:
        book = JobBook("memory://state/drain")
        service = ScoreService(ToyEngine(), book, LimitsConfig())
        service.admit().release()
        await service.drain(1.0)
        with pytest.raises(Problem) as refused:
            service.admit()
        return refused.value.status_code

    assert asyncio.run(stop()) == 503


def test_a_job_whose_replica_died_has_failed(tmp_path: Any) -> None:
    book = JobBook(str(tmp_path))

    async def lose() -> Any:
        job = new_job(lifetime_s=-1.0)
        await book.save("alice", job)
        return await book.find("alice", job.job_id)

    job = asyncio.run(lose())
    assert (job.state, job.problem["code"]) == ("failed", "lost")


def test_old_jobs_and_keys_are_forgotten(tmp_path: Any) -> None:
    book = JobBook(str(tmp_path))

    async def forget() -> list[Any]:
        job = new_job(60.0)
        await book.save("alice", job)
        await book.claim("alice", "key", "print", job.job_id)
        await book.forget_old(3600.0)
        kept = await book.find("alice", job.job_id)
        await book.forget_old(-1.0)
        return [kept, await book.find("alice", job.job_id)]

    kept, gone = asyncio.run(forget())
    assert kept is not None
    assert gone is None


def _ended(service: Service, place: str) -> dict[str, Any]:
    async def poll() -> dict[str, Any]:
        while True:
            job: dict[str, Any] = (await service.asked("GET", place)).json()
            if job["state"] != "running":
                return job
            await asyncio.sleep(0.02)

    return service.run(asyncio.wait_for(poll(), 10))
