"""Ctrl-C and SIGTERM (F8, F9): what is finished is committed, and the way on is said."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.faults import tally
from tests.faults.scans import Scan, check_invariants

pytestmark = pytest.mark.cluster

NewScan = Callable[..., Scan]
Rows = dict[str, dict]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_local_run_commits_what_is_under_way_and_says_how_to_go_on(
    new_scan: NewScan, clean_rows: Rows, number: int, code: int
) -> None:
    scan = new_scan(settings=("pipeline.videos_per_block=5", "pipeline.lease.wait_s=5"))
    with scan.start("local", own_group=True) as process:
        scan.wait_for_parts(process, 1)
        tally.injected()
        os.killpg(process.pid, number)  # as a terminal does: the decoders hear it, too
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert out == ""
    assert "Traceback" not in err
    assert "go on with `mover-ray extract" in err
    assert scan.finish("local")["resumed"] >= 5
    check_invariants(scan, clean_rows)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_run_on_ray_ends_and_keeps_what_is_committed(
    new_scan: NewScan, clean_rows: Rows, number: int, code: int
) -> None:
    scan = new_scan()
    with scan.start("ray", own_group=True) as process:
        scan.wait_for_parts(process, 1)
        tally.injected()
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert "go on with `mover-ray extract" in err
    scan.finish("local")
    check_invariants(scan, clean_rows)


def test_a_second_ctrl_c_ends_at_once_and_the_run_can_still_go_on(
    new_scan: NewScan, clean_rows: Rows
) -> None:
    scan = new_scan()
    with scan.start("local") as process:
        scan.wait_for_parts(process, 1)
        tally.injected()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    scan.finish("local")
    check_invariants(scan, clean_rows)
