"""Clusters of several nodes on this machine, and how their processes die."""

import contextlib
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_STORE_BYTES = 200 * 2**20
#: What Ray reads when it starts a node.
_VARIABLES = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_health_check_period_ms": "1000",
}


class Nodes:
    """A head and further nodes, each with its own raylet and two CPUs."""

    def __init__(self, temp: Path, count: int) -> None:
        from ray.cluster_utils import Cluster

        self._options: dict[str, Any] = {
            "num_cpus": 2,
            "node_ip_address": "127.0.0.2",
            "object_store_memory": _STORE_BYTES,
        }
        head = {**self._options, "include_dashboard": False, "temp_dir": str(temp)}
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self.others = [self._cluster.add_node(**self._options) for _ in range(count - 1)]
        self.address: str = self._cluster.address

    def kill_node(self) -> None:
        """Ends the raylet of the last node by SIGKILL, and with it all its workers."""
        self._cluster.remove_node(self.others.pop(), allow_graceful=False)

    def kill_head(self) -> None:
        """Ends the control store of the cluster by SIGKILL."""
        self._cluster.head_node.kill_gcs_server(check_alive=False)

    def stage_workers(self) -> list[int]:
        """Lists the processes that run a stage."""
        raylets = {self._raylet(node) for node in (self._cluster.head_node, *self.others)}
        return [pid for pid in _processes() if _parent(pid) in raylets and _is_stage(pid)]

    def shutdown(self) -> None:
        """Ends every process of the cluster."""
        self._cluster.shutdown()

    def _raylet(self, node: Any) -> int:
        return int(node.all_processes["raylet"][0].process.pid)


@contextlib.contextmanager
def cluster(temp: Path, count: int = 2) -> Iterator[Nodes]:
    """Runs a cluster for the length of a `with` block."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _VARIABLES.items():
            patch.setenv(name, value)
        nodes = Nodes(temp, count)
        try:
            yield nodes
        finally:
            nodes.shutdown()


class WorkerKiller:
    """Ends a random worker of a stage by SIGKILL now and then.

    Ray's own `WorkerKillerActor` asks the dashboard which tasks run, and would have to be
    let into the same cluster; the kernel knows the workers without either.
    """

    def __init__(self, nodes: Nodes, every_s: float, most: int, seed: int) -> None:
        self.killed = 0
        self._nodes = nodes
        self._every_s = every_s
        self._most = most
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "WorkerKiller":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while self.killed < self._most and not self._ended.wait(self._every_s):
            workers = self._nodes.stage_workers()
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._random.choice(workers), signal.SIGKILL)
                    self.killed += 1


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0


def _is_stage(pid: int) -> bool:
    """Tells whether a process is an actor of a pool: Ray writes that where its name was."""
    try:
        name = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return name.startswith(b"ray::") and b"MapBatches" in name
