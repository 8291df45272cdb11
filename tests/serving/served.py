"""A real `mover-ray serve run` as a child process on a port of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_START_S = 400
#: Ray gives a node up that starts slowly, as it does on a machine that is busy with other tests.
_TRIES = 3
_PATIENCE = {
    "RAY_raylet_start_wait_time_s": "60",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "300",
}


@dataclass(frozen=True)
class Served:
    """A service that answers."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path

    def client(self, key: str, timeout_s: float = 120.0) -> httpx.Client:
        """Gives a client with a key."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout_s)

    def becomes_ready(self) -> bool:
        """Waits until it answers; false if it ends before."""
        end = time.monotonic() + _START_S
        while self.process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return True
            time.sleep(0.5)
        return False

    def end(self) -> None:
        """Asks it to end, and sees to it."""
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(120)
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        """Gives what the service has written to stderr."""
        return (self.folder / "stderr").read_text()


@contextlib.contextmanager
def served(model: Path, keys: Path, *settings: str, **environment: str) -> Iterator[Served]:
    """Runs the command for the length of a `with` block, and ends it as a cluster would."""
    folder = Path(tempfile.mkdtemp(prefix="mv-"))  # short: Ray puts sockets into it
    port = _free_port()
    every = (*settings, f"ray.temp_dir={folder}", "ray.num_cpus=2")
    command = [
        str(Path(sys.executable).with_name("mover-ray")), "serve", "run",
        "--model", str(model), "--allow-untrained", "--keys", str(keys), "--port", str(port),
        *[word for setting in every for word in ("--set", setting)],
    ]  # fmt: skip
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    one = _started(command, {**inherited, **_PATIENCE, **environment}, folder, port)
    try:
        yield one
    finally:
        one.end()
        shutil.rmtree(folder, ignore_errors=True)


def _started(command: list[str], environment: dict[str, str], folder: Path, port: int) -> Served:
    for _ in range(_TRIES):
        with (folder / "stderr").open("wb") as errors:
            process = subprocess.Popen(command, stderr=errors, env=environment)
        one = Served(f"http://127.0.0.1:{port}", process, folder)
        ready = False
        try:
            ready = one.becomes_ready()
        finally:
            if not ready:
                one.end()
        if ready:
            return one
    raise AssertionError(f"the service does not start:\n{one.log()}")


def get_json(client: httpx.Client, path: str, **arguments: Any) -> Any:
    """Gives the document of an answer that must be a success."""
    answer = client.get(path, **arguments)
    assert answer.is_success, answer.text
    return answer.json()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
