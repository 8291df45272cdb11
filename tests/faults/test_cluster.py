"""Ray's own processes die or fall silent (F1, F2, F3, F7), and videos that kill workers."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import tally
from tests.faults.nodes import WorkerKiller, cluster
from tests.faults.scans import Scan, check_invariants
from tests.pipelines.toy import rows_at

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="finds Ray's processes in /proc"),
]

NewScan = Callable[..., Scan]
Rows = dict[str, dict]

ONE_BY_ONE = ("pipeline.videos_per_block=1", "pipeline.lease.wait_s=40")


@pytest.mark.slow
def test_workers_killed_at_random(new_scan: NewScan, clean_rows: Rows, ray_temp: Path) -> None:
    """F1."""
    with cluster(ray_temp) as nodes:
        scan = new_scan(settings=ONE_BY_ONE, address=nodes.address)
        with WorkerKiller(nodes, every_s=2.0, most=5, seed=1) as killer:
            scan.finish("ray")
    assert killer.killed
    tally.injected(killer.killed)
    check_invariants(scan, clean_rows)


def test_a_node_killed_in_the_middle(new_scan: NewScan, clean_rows: Rows, ray_temp: Path) -> None:
    """F2."""
    with cluster(ray_temp) as nodes:
        scan = new_scan(settings=ONE_BY_ONE, address=nodes.address)
        with scan.start("ray") as process:
            scan.wait_for_parts(process, 2)
            nodes.kill_node()
            _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    tally.injected()
    check_invariants(scan, clean_rows)


@pytest.mark.slow
def test_a_killed_head_ends_the_run_and_leaves_it_resumable(
    new_scan: NewScan, clean_rows: Rows, ray_temp: Path
) -> None:
    """F3."""
    with cluster(ray_temp, count=1) as nodes:
        scan = new_scan(settings=ONE_BY_ONE, address=nodes.address)
        with scan.start("ray") as process:
            scan.wait_for_parts(process, 2)
            nodes.kill_head()
            _, err = process.communicate(timeout=400)
    assert process.returncode not in (0, None), err
    tally.injected()
    assert replace(scan, address=None).finish("local")["resumed"] >= 2
    check_invariants(scan, clean_rows)


@pytest.mark.slow
def test_calls_between_processes_that_fail(new_scan: NewScan, clean_rows: Rows) -> None:
    """F7: a share of Ray's own requests and replies is lost."""
    calls = {
        "NodeManagerService.grpc_client.RequestWorkerLease": 20,
        "CoreWorkerService.grpc_client.PushTask": 5,
        "ActorInfoGcsService.grpc_client.GetActorInfo": 5,
    }
    lost = {
        name: {"num_failures": count, "req_failure_prob": 25, "resp_failure_prob": 25,
               "in_flight_failure_prob": 0}
        for name, count in calls.items()
    }  # fmt: skip
    environment = (("RAY_testing_rpc_failure", json.dumps(lost)),)
    scan = new_scan(settings=ONE_BY_ONE, environment=environment)
    scan.finish("ray")
    tally.injected(sum(calls.values()))
    check_invariants(scan, clean_rows)


@pytest.mark.slow
def test_a_video_that_ends_every_worker_is_quarantined(tmp_path: Path, ray_temp: Path) -> None:
    """Ray alone would try it for ever. A later start leaves it alone unless it is named."""

    def run(*retry: str) -> dict:
        program = [sys.executable, "-m", "tests.faults.poison_on_ray"]
        done = subprocess.run(
            [*program, str(tmp_path / "out"), str(ray_temp), *retry],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    assert run()["counts"] == {"ok": 15, "quarantined": 1}
    tally.injected(2)
    assert run() == {"counts": {"ok": 15, "quarantined": 1}, "resumed": 16}
    assert run("quarantined") == {"counts": {"ok": 16}, "resumed": 15}
    tally.counted(16, 16 - len(rows_at(tmp_path / "out")), 0)
