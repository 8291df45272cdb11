"""What the benchmark programs share: their command line, one core, CPU seconds, a JSON report."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def parser(description: str) -> argparse.ArgumentParser:
    """Gives a parser with the two options that every program has."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("MOVER_RAY_DATA", "../shared/data")),
        help="folder of real videos (MOVER_RAY_DATA, ../shared/data)",
    )
    arguments.add_argument("--json", type=Path, help="file for the figures")
    return arguments


def use_one_core() -> None:
    """Keeps this process and its children on one core, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@dataclass(frozen=True, slots=True)
class Rival:
    """One of several ways to do the same work."""

    name: str
    run: Callable[[], float]
    """Does the work once; gives its CPU seconds."""


def compare(rivals: list[Rival], rounds: int) -> dict[str, float]:
    """Gives each rival's median CPU seconds.

    They take turns, so that what disturbs the machine disturbs them all.
    """
    times: dict[str, list[float]] = {rival.name: [] for rival in rivals}
    for _ in range(rounds):
        for rival in rivals:
            times[rival.name].append(rival.run())
    return {name: statistics.median(values) for name, values in times.items()}


def cpu_seconds(work: Callable[[], object]) -> float:
    """Gives the CPU seconds that this process spends on `work`."""
    started = time.process_time()
    work()
    return time.process_time() - started


def report(results: Mapping[str, Any], path: Path | None) -> None:
    """Prints figures as JSON, and writes them to a file where one is given."""
    text = json.dumps({**results, "machine": _machine()}, indent=2)
    print(text)
    if path is not None:
        path.write_text(text + "\n", encoding="utf-8")


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
