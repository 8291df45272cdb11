"""A cluster that is fit passes; each thing that is broken is found, and named."""

import dataclasses
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mover_ray.errors import LocationError
from mover_ray.operations import doctor, doctor_node
from mover_ray.operations.doctor_check import FAIL, OK, WARN, Check
from mover_ray.operations.doctor_cluster import Clock, Node, check_jobs_api, judge
from mover_ray.operations.doctor_node import NodeFacts, examine_node

GIB = 1 << 30
GOOD = NodeFacts(
    versions={"python": "3.12", "ray": "2.60.0", "mover-ray": "0.1.0"},
    sandbox="bwrap",
    token=True,
    tls=True,
    spill_free_bytes=90 * GIB,
    gpus_seen=1,
    cuda=True,
)
DEST = "s3://results/run7"


def node(name: str = "10.0.0.2", gpus: float = 0.0, skew_s: float = 0.0, **changes: object) -> Node:
    facts = dataclasses.replace(GOOD, **changes)  # type: ignore[arg-type]
    return Node(name=name, gpus=gpus, facts=facts, skew_s=skew_s)


def checks(*nodes: Node, require_sandbox: bool = False) -> dict[str, Check]:
    found = judge([node("10.0.0.1"), *nodes], DEST, require_sandbox=require_sandbox)
    return {check.name: check for check in found}


def test_a_good_cluster_passes_everything():
    found = checks(node(gpus=1.0))
    assert {check.level for check in found.values()} == {OK}
    assert set(found) == {
        "nodes", "versions", "token", "tls", "sandboxes", "gpus", "clocks", "spilling",
        "destination, from the nodes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "level", "changes", "words"),
    [
        ("versions", FAIL, {"versions": {**GOOD.versions, "ray": "2.59.0"}}, "2.59.0 and 2.60.0"),
        ("versions", FAIL, {"versions": {**GOOD.versions, "mover-ray": "missing"}}, "missing"),
        ("token", FAIL, {"token": False}, "asks for none"),
        ("tls", WARN, {"tls": False}, "in clear"),
        ("sandboxes", WARN, {"sandbox": "rlimits"}, "unsafe"),
        ("sandboxes", FAIL, {"sandbox": "bwrap cannot be started"}, "none works"),
        ("gpus", FAIL, {"gpus_seen": 0}, "1 promised, 0 there"),
        ("gpus", FAIL, {"cuda": False}, "without CUDA"),
        ("clocks", WARN, {"skew_s": 5.0}, "off by 5 s"),
        ("clocks", FAIL, {"skew_s": -59.0}, "off by 59 s"),
        ("spilling", WARN, {"spill_free_bytes": 5 * GIB}, "5.0 GiB free"),
        ("spilling", FAIL, {"spill_free_bytes": GIB // 2}, "512 MiB free"),
        ("destination, from the nodes", FAIL, {"store_problem": "cannot write"}, "cannot write"),
    ],
)
def test_what_is_broken_on_one_node_is_found_there(name, level, changes, words):
    found = checks(node("10.0.0.9", gpus=1.0, **changes))
    assert found[name].level == level
    assert words in found[name].found
    if name != "versions":
        assert "10.0.0.9" in found[name].found
    assert found[name].hint
    others = {check.level for check in found.values() if check.name != name}
    assert others == {OK}


def test_a_node_that_does_not_answer_has_failed():
    found = checks(Node(name="10.0.0.9", gpus=0.0, facts=None))
    assert found["nodes"].level == FAIL
    assert "10.0.0.9" in found["nodes"].found


def test_a_missing_sandbox_fails_where_one_is_required():
    assert checks(node(sandbox="rlimits"), require_sandbox=True)["sandboxes"].level == FAIL
    assert checks(node(sandbox="seccomp"), require_sandbox=True)["sandboxes"].level == OK


@pytest.mark.parametrize(("there_s", "skew_s"), [(99.5, 0.0), (103.0, 2.0), (97.0, -2.0)])
def test_a_slow_answer_makes_no_clock_wrong(there_s, skew_s):
    assert Clock(99.0, there_s, 101.0).skew_s == skew_s


def test_this_machine_says_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_USE_TLS", "0")
    facts = examine_node(str(tmp_path), None)
    assert facts.versions["ray"] == "2.60.0"
    assert "missing" not in facts.versions.values()
    assert (facts.token, facts.tls, facts.store_problem) == (True, False, None)
    assert facts.spill_free_bytes > 0


def test_gpus_are_counted_by_their_devices(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert doctor_node._count_gpus(tmp_path) == 2


@pytest.fixture
def jobs_api() -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.status)  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "level"), [(200, FAIL), (401, OK), (403, OK), (404, WARN), (500, WARN)]
)
def test_a_jobs_api_that_answers_strangers_has_failed(jobs_api, status, level):
    jobs_api.status = status
    assert check_jobs_api(f"http://127.0.0.1:{jobs_api.server_port}").level == level


def test_a_jobs_api_that_cannot_be_reached_is_not_called_closed():
    assert check_jobs_api("http://127.0.0.1:9").level == WARN
    assert check_jobs_api(None).level == WARN


def test_a_cluster_that_is_not_there_is_one_failed_check(monkeypatch):
    def refuse(*_: object, **__: object) -> list[Check]:
        raise LocationError("no Ray cluster can be joined", hint="start it")

    monkeypatch.setattr("mover_ray.operations.doctor_cluster.examine_cluster", refuse)
    (last,) = doctor._examine_cluster("127.0.0.1:9", None, require_sandbox=False)
    assert (last.name, last.level, last.hint) == ("cluster", FAIL, "start it")
