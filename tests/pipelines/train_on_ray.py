"""Trains a toy with two workers on a cluster of its own; prints how it ended, as JSON.

`kill` ends one worker after the first checkpoint, as a lost process would.
"""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from mover_ray.errors import MoverRayError
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.train import train
from tests.pipelines.training_toys import options


class Heard(Quiet):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def kill_a_worker(checkpoints: Path, killed: list[int]) -> None:
    """Waits for a checkpoint and then kills a worker that descends from this process."""
    while not list(checkpoints.glob("0*")):
        time.sleep(0.02)
    victim = next(pid for pid in _descendants(os.getpid()) if _is_worker(pid))
    os.kill(victim, signal.SIGKILL)
    killed.append(victim)


def _descendants(pid: int) -> list[int]:
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _is_worker(pid: int) -> bool:
    try:
        return b"RayTrainWorker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def main(folder: str, temp_dir: str, what: str) -> None:
    """Trains; `what` is `plain`, `kill` or `refused`."""
    base, heard = Path(folder), Heard()
    killed: list[int] = []
    settings = {"ray": {"temp_dir": temp_dir, "num_cpus": 3}}
    given = options(base, "pretrain", dest=str(base / what), workers="2", settings=settings)
    if what == "refused":
        given = replace(given, corpus=(str(base / "nothing"),))
    if what == "kill":
        arguments = (base / what / "checkpoints", killed)
        threading.Thread(target=kill_a_worker, args=arguments, daemon=True).start()
    try:
        ended = train("pretrain", given, heard).as_json()
    except MoverRayError as error:
        ended = {"error": str(error), "kind": type(error).__name__, "hint": error.hint}
    found = {"ended": ended, "messages": heard.messages, "killed": len(killed)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
