"""A real Ray head node with token authentication on the loopback, for tests."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

#: Ray takes 127.0.0.1 for the machine's outer address, and would listen there.
HOST = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"

_START_TIMEOUT_S = 240
_PORTS = (
    "--port",
    "--dashboard-port",
    "--ray-client-server-port",
    "--node-manager-port",
    "--object-manager-port",
    "--dashboard-agent-listen-port",
    "--dashboard-agent-grpc-port",
    "--metrics-export-port",
    "--runtime-env-agent-port",
)

#: A busy machine takes its time. Where Ray cannot be told to wait, it is started again: its
#: raylet gives up after 15 s without its agent.
_PATIENCE = {
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": str(_START_TIMEOUT_S),
    "RAY_agent_register_timeout_ms": str(1000 * _START_TIMEOUT_S),
    "RAY_worker_niceness": "0",  # 15 by default: beside other work a worker would stand still
}
_TRIES = 6
_STARTED = "Ray runtime started"


class RayHead:
    """One head node with its own ports, folder and token."""

    def __init__(self, folder: Path, num_cpus: int) -> None:
        self.token = secrets.token_hex(32)
        for attempt in range(_TRIES):
            self._start(folder / f"r{attempt}", num_cpus)
            try:
                if self._is_ready():
                    return
            except BaseException:  # Ctrl-C: a session of its own would live on
                self.stop()
                raise
            self.stop()
        raise RuntimeError(f"Ray did not start; its log is {self._log.name}")

    def _start(self, folder: Path, num_cpus: int) -> None:
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self.address = f"http://{HOST}:{ports['--dashboard-port']}"
        self._log = folder.with_suffix(".log").open("wb")
        self._process = subprocess.Popen(
            [
                Path(sys.executable).with_name("ray"),
                *("start", "--head", "--block", f"--node-ip-address={HOST}"),
                *(f"--dashboard-host={HOST}", "--include-dashboard=true"),
                *("--disable-usage-stats", f"--num-cpus={num_cpus}", f"--temp-dir={folder}"),
                *("--object-store-memory=200000000",),
                *(f"{name}={port}" for name, port in ports.items()),
            ],
            env=self._environment(),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Ends every process of the node."""
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=30)
        with contextlib.suppress(ProcessLookupError):  # what outlived its parent
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def _environment(self) -> dict[str, str]:
        own = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            **_PATIENCE,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
        }
        inherited = {name: text for name, text in os.environ.items() if name != "RAY_ADDRESS"}
        return {**inherited, **own}

    def _is_ready(self) -> bool:
        end = time.monotonic() + _START_TIMEOUT_S
        request = urllib.request.Request(  # noqa: S310
            f"{self.address}/api/jobs/", headers={"Authorization": f"Bearer {self.token}"}
        )
        while self._process.poll() is None and time.monotonic() < end:
            time.sleep(0.5)
            if _STARTED not in Path(self._log.name).read_text():
                continue
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(request, timeout=5).close()  # noqa: S310
                return True
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind((HOST, 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
