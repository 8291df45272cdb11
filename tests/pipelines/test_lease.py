"""One writer at a time, on disk and on an object store."""

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mover_ray.errors import HeldError, LocationError
from mover_ray.pipelines.destination import LEASE_NAME, Destination, part_name
from mover_ray.pipelines.lease import LeaseConfig, ObjectLease, fencing_attempt, hold
from mover_ray.pipelines.parts import write_part
from mover_ray.pipelines.progress import Quiet
from tests.pipelines.toy import SCHEMA

IMPATIENT = LeaseConfig(wait_s=0.3, expiry_s=60, renew_s=0.05)
EXPIRING = LeaseConfig(wait_s=5, expiry_s=0.4, renew_s=0.1)


class Remembers(Quiet):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(params=["disk", "memory"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Destination:
    disk = request.param == "disk"
    base = str(tmp_path / "out") if disk else f"memory://bucket/{tmp_path.name}"
    return Destination(base, "results")


@pytest.fixture
def remote(tmp_path: Path) -> Destination:
    return Destination(f"memory://bucket/{tmp_path.name}", "results")


def one_row() -> pa.Table:
    row = {"video_id": 1, "uri": "/a.mp4", "status": "ok", "run_id": "x"}
    return pa.Table.from_pylist([row], schema=SCHEMA)


def test_a_second_holder_waits_says_so_and_gives_up(destination: Destination) -> None:
    heard = Remembers()
    with hold(destination, IMPATIENT, Quiet()) as lease:
        lease.begin(1)
        with (
            pytest.raises(HeldError, match=f"process {os.getpid()}") as caught,
            hold(destination, IMPATIENT, heard),
        ):
            pass
    assert caught.value.exit_code == 6
    assert len(heard.lines) == 1
    assert "waiting up to" in heard.lines[0]


def test_a_waiting_start_takes_over_when_the_holder_ends(destination: Destination) -> None:
    config = LeaseConfig(wait_s=10, expiry_s=60, renew_s=0.05)
    entered = threading.Event()

    def first() -> None:
        with hold(destination, config, Quiet()) as lease:
            lease.begin(3)
            entered.set()
            time.sleep(0.5)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with hold(destination, config, Quiet()) as lease:
        assert lease.last_attempt == 3
    thread.join()


def test_the_attempt_outlives_its_holder(destination: Destination) -> None:
    with hold(destination, IMPATIENT, Quiet()) as lease:
        lease.begin(7)
    assert fencing_attempt(destination) == 7
    with hold(destination, IMPATIENT, Quiet()) as lease:
        assert lease.last_attempt == 7


def test_a_part_of_an_older_attempt_is_not_written(destination: Destination) -> None:
    with hold(destination, IMPATIENT, Quiet()) as lease:
        lease.begin(2)
        with pytest.raises(HeldError, match="taken over"):
            write_part(destination, 1, 0, one_row())
        assert destination.part_names() == []
        assert write_part(destination, 2, 0, one_row()).part.rows == 1


def test_a_part_under_way_while_a_later_attempt_begins_withdraws(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = type(destination.storage).write

    def overtaken(self: Any, uri: str, data: bytes, **conditions: Any) -> str:
        etag = str(write(self, uri, data, **conditions))
        if uri == destination.part_uri(part_name(1, 0)):
            monkeypatch.undo()
            with hold(destination, IMPATIENT, Quiet()) as lease:
                lease.begin(2)
            destination.write_attempt({"attempt": 2, "run_id": "r", "identity": {}, "accepted": []})
        return etag

    with hold(destination, IMPATIENT, Quiet()) as lease:
        lease.begin(1)
    monkeypatch.setattr(type(destination.storage), "write", overtaken)
    with pytest.raises(HeldError, match="taken over"):
        write_part(destination, 1, 0, one_row())
    assert destination.part_names() == []


def test_a_task_that_is_tried_again_adopts_its_own_part(destination: Destination) -> None:
    first = write_part(destination, 1, 0, one_row())
    again = write_part(destination, 1, 0, one_row())
    assert first == again
    assert destination.part_names() == [first.part.name]


def test_the_kernel_frees_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    destination = Destination(str(tmp_path), "results")
    code = (
        "import sys, time\n"
        "from mover_ray.pipelines.destination import Destination\n"
        "from mover_ray.pipelines.lease import LeaseConfig, hold\n"
        "from mover_ray.pipelines.progress import Quiet\n"
        "with hold(Destination(sys.argv[1], 'results'), LeaseConfig(), Quiet()) as lease:\n"
        "    lease.begin(5)\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(HeldError), hold(destination, IMPATIENT, Quiet()):
            pass
        holder.kill()
        holder.wait()
    with hold(destination, IMPATIENT, Quiet()) as lease:
        assert lease.last_attempt == 5


def test_a_destination_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    destination = Destination(str(tmp_path / "file" / "out"), "results")
    with (
        pytest.raises(LocationError, match="cannot be written"),
        hold(destination, IMPATIENT, Quiet()),
    ):
        pass


def test_a_silent_remote_holder_loses_the_lease(remote: Destination) -> None:
    silent = ObjectLease(remote, EXPIRING)
    assert silent._try_take()  # and never renews, as a stopped process would not

    with hold(remote, EXPIRING, Quiet()) as lease:
        lease.begin(2)
        with pytest.raises(HeldError, match="taken over"):
            silent.assert_held()
        silent.release()
        lease.assert_held()


def test_a_live_remote_holder_keeps_the_lease_by_renewing(remote: Destination) -> None:
    with hold(remote, EXPIRING, Quiet()) as lease:
        lease.begin(1)
        waits = LeaseConfig(wait_s=1.2, expiry_s=0.4, renew_s=0.1)
        with pytest.raises(HeldError), hold(remote, waits, Quiet()):
            pass
        lease.assert_held()


def test_one_of_many_remote_starts_wins(remote: Destination) -> None:
    barrier = threading.Barrier(8)
    winners = []

    def start() -> None:
        lease = ObjectLease(remote, IMPATIENT)
        barrier.wait()
        if lease.try_acquire():
            winners.append(lease)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1


def test_a_lease_file_cut_by_a_crash_still_locks(tmp_path: Path) -> None:
    path = tmp_path / LEASE_NAME
    path.write_text('{"attempt": 4, "ho')
    destination = Destination(str(tmp_path), "results")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(HeldError, match="starting"), hold(destination, IMPATIENT, Quiet()):
            pass
    with hold(destination, IMPATIENT, Quiet()) as lease:
        lease.begin(5)
    assert json.loads(path.read_text())["attempt"] == 5
