"""A writer that was stopped and wakes up late (F5), and two starts at once (F6)."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from tests.faults import tally
from tests.faults.scans import Scan, check_invariants, rows_of

pytestmark = pytest.mark.cluster

NewScan = Callable[..., Scan]
Rows = dict[str, dict]

QUICK_LEASE = (
    "pipeline.videos_per_block=1",
    "pipeline.lease.wait_s=20",
    "pipeline.lease.expiry_s=3",
    "pipeline.lease.renew_s=1",
)


@contextmanager
def stopped(process: Popen[str]) -> Iterator[None]:
    """Holds a process as SIGSTOP does; it goes on at the end of the block."""
    tally.injected()
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_a_stopped_writer_on_s3_loses_the_lease_and_changes_nothing(
    new_scan: NewScan, clean_rows: Rows, s3_folder: str
) -> None:
    scan = new_scan(f"{s3_folder}/run", settings=QUICK_LEASE)
    with scan.start("local") as old:
        scan.wait_for_parts(old, 2)
        with stopped(old):
            summary = scan.finish("local")
            assert summary["attempt"] == 2
            before = rows_of(scan)
        _, err = old.communicate(timeout=120)
    assert old.returncode == 6, err
    assert "taken over" in err
    assert rows_of(scan) == before
    check_invariants(scan, clean_rows)


def test_a_stopped_writer_on_disk_keeps_its_lock_and_finishes(
    new_scan: NewScan, clean_rows: Rows
) -> None:
    scan = new_scan(settings=("pipeline.videos_per_block=1", "pipeline.lease.wait_s=1"))
    with scan.start("local") as old:
        scan.wait_for_parts(old, 2)
        with stopped(old):
            before = sorted(Path(scan.dest).rglob("*"))
            with scan.start("local") as second:
                _, err = second.communicate(timeout=120)
            assert second.returncode == 6, err
            assert f"process {old.pid}" in err
            assert "hint:" in err
            assert sorted(Path(scan.dest).rglob("*")) == before, "the refused start wrote"
        _, err = old.communicate(timeout=120)
    assert old.returncode == 0, err
    check_invariants(scan, clean_rows)


def test_of_two_starts_at_once_one_works_and_the_other_finds_it_done(
    new_scan: NewScan, clean_rows: Rows, s3_folder: str
) -> None:
    """F6: the second waits for the lease; no video has two rows."""
    scan = new_scan(f"{s3_folder}/run", settings=("pipeline.lease.wait_s=120",))
    with scan.start("local") as first, scan.start("local") as second:
        errors = [process.communicate(timeout=240)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), errors
    tally.injected()
    check_invariants(scan, clean_rows)
