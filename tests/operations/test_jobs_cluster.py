"""Jobs over a real Ray head node with token authentication: submit, follow, stop, resume."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mover_ray.operations.runs import verify_run
from tests.archive import make_archive
from tests.ray_head import RayHead

pytestmark = pytest.mark.cluster

PROGRAM = Path(sys.executable).with_name("mover-ray")
#: One worker takes a second or two for a block: time to stop it in the midst of one.
SETTINGS = (
    "faces.size_px=64", "sampling.frames=6", "pipeline.videos_per_block=8", "pipeline.workers=1",
)  # fmt: skip


@dataclass(frozen=True)
class Analyst:
    """A shell on a machine that knows the cluster's address and token."""

    folder: Path
    head: RayHead

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of mover-ray."""
        known = {"RAY_AUTH_TOKEN": self.head.token, "RAY_API_SERVER_ADDRESS": self.head.address}
        return subprocess.run(
            [PROGRAM, *words],
            cwd=self.folder,
            env={**os.environ, **known, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def document(self, *words: str) -> dict:
        """Runs a command that must succeed, and gives its JSON document."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        found: dict = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def analyst(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analyst]:
    folder = tmp_path_factory.mktemp("jobs")
    make_archive(folder / "clips", 22)
    (folder / "broken").mkdir()
    for number in range(6):
        (folder / "broken" / f"{number}.mp4").write_bytes(b"no video %d" % number)
    head = RayHead(folder, num_cpus=4)
    yield Analyst(folder, head)
    head.stop()


def test_without_the_token_nothing_is_told(analyst: Analyst) -> None:
    for token, message in (("", "asks for a token"), ("wrong", "refuses the token")):
        refused = analyst.run("jobs", "list", RAY_AUTH_TOKEN=token, HOME=str(analyst.folder))
        assert (refused.returncode, refused.stdout) == (5, "")
        assert message in refused.stderr
        assert "hint: put the cluster's token into RAY_AUTH_TOKEN" in refused.stderr


def test_a_command_with_the_address_of_the_jobs_api_ends_as_its_job_does(analyst: Analyst) -> None:
    command = ("extract", "broken", "--out", "o1", "--max-failed", "3")
    done = analyst.run(*command, "--address", analyst.head.address)
    assert done.returncode == 4, done.stderr
    assert "failed with exit code 4" in done.stdout
    assert "6 of 6 (100 %)" in done.stdout
    assert "unsupported 6" in done.stdout
    assert "every node of the cluster must see" in done.stderr
    assert verify_run(str(analyst.folder / "o1")).proved
    job_id = analyst.document("jobs", "list", "--state", "failed")[0]["job_id"]
    followed = analyst.run("jobs", "logs", "-f", "--tail", "2", job_id).stdout
    assert followed.splitlines()[-1].endswith("6 videos failed, 3 were allowed")
    assert len(followed.splitlines()) == 2
    assert '"unsupported": 6' in analyst.run("jobs", "logs", job_id).stdout


def test_a_stopped_job_commits_what_is_under_way_and_resumes(analyst: Analyst) -> None:
    words = [word for setting in SETTINGS for word in ("--set", setting)]
    command = ("extract", "clips", "--out", "o2", *words)
    job = analyst.document("jobs", "submit", "--label", "team=trust", "--json", *command)
    again = analyst.document("jobs", "submit", *command)
    assert (job["new"], again["new"], again["job_id"]) == (True, False, job["job_id"])
    assert len(analyst.document("jobs", "list", "--label", "team=trust")) == 1
    assert analyst.run("jobs", "wait", job["job_id"], "--timeout", "0").returncode == 124

    wait_for_a_part(analyst.folder / "o2" / "crops")
    status = analyst.document("jobs", "status", job["job_id"])
    assert status["job"]["state"] == "running"
    assert 0 < status["progress"]["done"] < status["progress"]["total"] == 24
    assert 0 < status["progress"]["done_bytes"] < status["progress"]["total_bytes"]
    assert 0 <= status["load"]["cpu_busy"] <= 1

    stopped = analyst.document("jobs", "stop", job["job_id"])
    assert stopped["job"]["state"] == "stopped"
    assert (
        "stopping after the videos under way" in analyst.run("jobs", "logs", job["job_id"]).stdout
    )
    assert analyst.run("jobs", "wait", job["job_id"]).returncode == 143

    second = analyst.document("jobs", "resume", job["job_id"])
    assert second["job_id"] == f"{job['job_id'][:-2]}-2"
    assert analyst.run("jobs", "wait", second["job_id"]).returncode == 0
    summary = analyst.run("jobs", "logs", second["job_id"]).stdout
    assert json.loads(summary[summary.index("\n{") :])["resumed"] > 0
    found = verify_run(str(analyst.folder / "o2"))
    assert (found.proved, found.videos) == (True, 24)


def wait_for_a_part(folder: Path) -> None:
    end = time.monotonic() + 120
    while not list(folder.glob("*.parquet")):
        assert time.monotonic() < end, "no part was committed"
        time.sleep(0.2)
