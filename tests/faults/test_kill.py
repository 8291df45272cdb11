"""kill -9 of the driver, on either engine and across them (F4 of the fault list)."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import tally
from tests.faults.scans import Scan, check_invariants

Rows = dict[str, dict]
pytestmark = pytest.mark.cluster

NewScan = Callable[..., Scan]


def kill_after(scan: Scan, engine: str, parts: int, delay_s: float) -> None:
    """Starts a run and kills its driver a moment after it has committed `parts` parts."""
    tally.injected()
    with scan.start(engine) as process:
        scan.wait_for_parts(process, parts)
        time.sleep(delay_s)
        process.kill()
        process.communicate()


def test_a_killed_local_run_is_finished_by_the_same_command(
    new_scan: NewScan, clean_rows: Rows
) -> None:
    scan = new_scan()
    kill_after(scan, "local", parts=1, delay_s=0.0)
    kill_after(scan, "local", parts=2, delay_s=0.3)
    summary = scan.finish("local")
    assert summary["resumed"] >= 2
    check_invariants(scan, clean_rows)


def test_a_killed_scan_is_finished_on_ray_and_the_other_way_round(
    new_scan: NewScan, model: Path, clean_scores: Rows, tmp_path: Path
) -> None:
    # Ray's reader would take such a folder for a column of every row.
    scan = new_scan(str(tmp_path / "label=fake" / "out"), model=model)
    kill_after(scan, "local", parts=1, delay_s=0.0)
    kill_after(scan, "ray", parts=2, delay_s=0.1)
    summary = scan.finish("local")
    assert summary["attempt"] == 3
    assert summary["resumed"] >= 2
    check_invariants(scan, clean_scores)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(4))
def test_many_kills_at_random_moments(
    new_scan: NewScan, model: Path, clean_scores: Rows, seed: int
) -> None:
    moments = random.Random(seed)
    scan = new_scan(model=model)
    for _ in range(8):
        tally.injected()
        engine = moments.choice(["local", "local", "ray"])
        with scan.start(engine) as process:
            time.sleep(moments.uniform(0.5, 25.0))
            process.kill()
            process.communicate()
    scan.finish(moments.choice(["local", "ray"]))
    check_invariants(scan, clean_scores)
