"""A real cluster of three nodes with token and TLS: a scan over it, a node killed, metrics read.

`cluster/local.sh` starts it, as anybody would; each node is a raylet of its own.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archive import make_archive, make_model
from tests.faults.scans import Scan, rows_of
from tests.infra.exported import OF_RAY, OF_RUNS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(sys.platform != "linux", reason="local.sh needs Linux's loopback"),
]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SCRIPT = ROOT / "cluster" / "local.sh"
PORT = 27400
FACES = 22


class LocalCluster:
    """What `cluster/local.sh` started in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self._start = {
            **plain, "RAY": str(BIN / "ray"), "PORT": str(PORT), "CPU_CPUS": "2", "GPU_CPUS": "2",
        }  # fmt: skip
        self._run("start")
        lines = (folder / "env").read_text(encoding="utf-8").splitlines()
        told = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        self.environment = {**plain, **told}
        self.address = told["RAY_ADDRESS"]
        self.jobs_api = f"{told['RAY_API_SERVER_ADDRESS']}/api/jobs/"

    def _run(self, verb: str) -> None:
        subprocess.run([SCRIPT, verb, self.folder], env=self._start, check=True, timeout=900)

    def stop(self) -> None:
        self._run("stop")

    def kill_node(self, name: str) -> None:
        """Ends a node at once; what it started dies with it."""
        os.kill(int((self.folder / "pids" / name).read_text()), signal.SIGKILL)

    def command(self, *words: str) -> list[str]:
        return [str(BIN / "mover-ray"), *words, "--address", self.address]

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    folder = Path(tempfile.mkdtemp(prefix="mr-"))  # short, for Ray's sockets
    started = LocalCluster(folder)
    yield started
    started.stop()
    shutil.rmtree(folder)


class Scraper(threading.Thread):
    """Reads every node's metrics all the time, as Prometheus would."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.lines: dict[str, float] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(2.0):
            for node in range(3):
                self._scrape(f"http://127.0.0.2:{PORT + 100 * node + 7}/metrics")

    def _scrape(self, url: str) -> None:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310 # loopback
                text = reply.read().decode()
        except OSError:
            return  # a node that was killed
        for line in text.splitlines():
            if not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                self.lines[f"{url} {series}"] = float(value)

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def names(self) -> set[str]:
        return {re.sub(r"^\S+ ([^{ ]+).*", r"\1", line) for line in self.lines}

    def total(self, name: str) -> float:
        """Adds up the last values of a counter over nodes and labels."""
        return sum(
            value for line, value in self.lines.items() if re.match(rf"\S+ {name}[{{ ]", f"{line} ")
        )


def status_of(url: str, token: str | None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 # loopback
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_jobs_api_is_closed_without_the_token(cluster):
    token = (cluster.folder / "token").read_text(encoding="utf-8").strip()
    assert status_of(cluster.jobs_api, None) == 401
    assert status_of(cluster.jobs_api, "0" * 64) == 403
    assert status_of(cluster.jobs_api, token) == 200


@pytest.mark.parametrize("secret", ["token", "tls/ca.key", "tls/tls.key"])
def test_secrets_are_legible_to_their_owner_alone(cluster, secret):
    assert (cluster.folder / secret).stat().st_mode & 0o077 == 0


def test_the_doctor_passes_the_cluster_but_for_the_gpu_that_is_not_there(cluster):
    answer = cluster.ask("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(answer.stdout)}
    for name in ("nodes", "versions", "token", "tls", "clocks", "jobs api"):
        assert checks[name]["level"] == "ok", checks[name]
    assert checks["sandboxes"]["level"] in ("ok", "warn")
    assert "spilling" in checks
    if not list(Path("/dev").glob("nvidia[0-9]")):
        assert checks["gpus"]["level"] == "fail"
        assert "1 promised, 0 there" in checks["gpus"]["found"]
        assert answer.returncode == 2


def test_a_scan_over_both_pools_outlives_a_node_and_prometheus_sees_it(cluster, tmp_path):
    archive = make_archive(tmp_path / "archive", faces=FACES)
    model = make_model(tmp_path / "model").path
    dest = str(tmp_path / "out")
    scan = Scan(archive, dest, tmp_path, model=model)
    command = cluster.command(
        "score", str(archive), "--out", dest, "--model", str(model), "--allow-untrained",
        "--engine", "ray", "--set", "pipeline.videos_per_block=1", "--json",
    )  # fmt: skip
    scraper = Scraper()
    scraper.start()
    with subprocess.Popen(
        command, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        scan.wait_for_parts(process, 4)
        cluster.kill_node("cpu")
        out, err = process.communicate(timeout=900)
    time.sleep(15)  # exporters report every few seconds
    scraper.stop()

    assert process.returncode == 0, err
    assert json.loads(out)["total"] == FACES + 2
    rows = rows_of(scan)
    assert {name: row["status"] for name, row in rows.items()} == {
        **{f"face{number:02d}.mp4": "ok" for number in range(FACES)},
        "rocket.mp4": "no_face",
        "broken.mp4": "corrupt",
    }
    missing = (OF_RUNS | OF_RAY) - scraper.names()
    assert missing <= {"ray_mover_retries_total"}, missing  # no retry, no series
    # A part that was written as its node died may be counted by nobody, or twice.
    assert 0 < scraper.total("ray_mover_videos_total") <= 2 * len(rows)
    assert not [line for line in scraper.lines if "ray_mover" in line and "video_id" in line]
