"""Load on a running service: what it can do, and what it does when asked for twice as much.

    mover-ray serve run --model BUNDLE --keys keys.json &
    nice -n 19 python benchmarks/serve.py --key "$KEY" --video clip.mp4

Three phases with the same upload: one client after the other and 32 at a time (what batching
and parallel decoding are worth), half of that rate (the latency of a service at ease), and twice
that rate from up to 200 clients, at random times that do not wait for answers: a client that
waited would ask the less the slower the service is.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
import httpx
import numpy as np
import psutil

CLIENTS = 200
TOGETHER = 32


@dataclass
class Phase:
    """What became of the requests of one phase."""

    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    accepted_s: list[float] = field(default_factory=list)
    """Time of each request that was answered with a score."""

    @property
    def rate(self) -> float:
        """Scores a second."""
        return len(self.accepted_s) / self.seconds

    def as_json(self) -> dict[str, Any]:
        """Gives the figures."""
        times = np.array(self.accepted_s or [np.nan])
        return {
            "scores_per_s": round(self.rate, 2),
            "statuses": dict(self.statuses),
            "p50_s": round(float(np.percentile(times, 50)), 3),
            "p99_s": round(float(np.percentile(times, 99)), 3),
        }


Ask = Callable[[Phase], Coroutine[Any, Any, float]]


def asker(client: httpx.AsyncClient, content: bytes) -> Ask:
    """Gives what sends one upload, notes what became of it, and says how long to wait."""

    async def ask(phase: Phase) -> float:
        started = time.perf_counter()
        try:
            answer = await client.post("/v1/score", files={"file": ("a.mp4", content)})
        except httpx.HTTPError as error:
            phase.statuses[type(error).__name__] += 1
            return 0.0
        phase.statuses[str(answer.status_code)] += 1
        if answer.status_code == 200:
            phase.accepted_s.append(time.perf_counter() - started)
        return float(answer.headers.get("retry-after", 0))

    return ask


async def closed(ask: Ask, clients: int, seconds: float) -> Phase:
    """Has each client ask again as soon as it is answered, or as it is told to."""
    phase, started = Phase(), time.perf_counter()

    async def one() -> None:
        while time.perf_counter() - started < seconds:
            await asyncio.sleep(await ask(phase))

    await asyncio.gather(*(one() for _ in range(clients)))
    phase.seconds = time.perf_counter() - started
    return phase


async def opened(ask: Ask, rate: float, seconds: float) -> Phase:
    """Asks at random times, `rate` a second, whatever is answered; at most 200 wait at a time."""
    phase, started = Phase(), time.perf_counter()
    waiting: set[asyncio.Task[float]] = set()
    dice = np.random.default_rng(0)
    due = 0.0
    while due < seconds:
        await asyncio.sleep(max(0.0, started + due - time.perf_counter()))
        if len(waiting) < CLIENTS:
            task = asyncio.create_task(ask(phase))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        else:
            phase.statuses["no client free"] += 1
        due += float(dice.exponential(1 / rate))
    await asyncio.gather(*waiting)
    phase.seconds = time.perf_counter() - started
    return phase


def memory_mib(pid: int | None) -> float | None:
    """Gives the private memory of a process and all below it."""
    if pid is None:
        return None
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    used = [one.memory_info() for one in family if one.is_running()]
    return round(sum(info.rss - info.shared for info in used) / 2**20, 1)


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs every phase."""
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    headers = {"Authorization": f"Bearer {arguments.key}"}
    async with httpx.AsyncClient(
        base_url=arguments.url, headers=headers, limits=limits, timeout=120
    ) as client:
        ask = asker(client, arguments.video.read_bytes())
        await ask(Phase())
        alone = await closed(ask, 1, arguments.seconds)
        together = await closed(ask, TOGETHER, arguments.seconds)
        capacity = max(alone.rate, together.rate)
        at_ease = await opened(ask, capacity / 2, arguments.seconds)
        before = memory_mib(arguments.pid)
        overload = await opened(ask, capacity * 2, arguments.overload_seconds)
        after = memory_mib(arguments.pid)
    p50 = float(np.median(at_ease.accepted_s))
    return {
        "one client": alone.as_json(),
        f"{TOGETHER} clients": together.as_json(),
        "gain of many clients": round(together.rate / alone.rate, 2),
        "half capacity": at_ease.as_json(),
        "twice capacity": overload.as_json(),
        "p99 under overload by p50 at ease": round(
            float(np.percentile(overload.accepted_s, 99)) / p50, 2
        ),
        "memory before and after overload, MiB": [before, after],
    }


def main() -> None:
    arguments = harness.parser(__doc__ or "")
    arguments.add_argument("--url", default="http://127.0.0.1:8000")
    arguments.add_argument("--key", required=True, help="with the scope `score`")
    arguments.add_argument("--video", type=Path, required=True)
    arguments.add_argument("--pid", type=int, help="of `serve run`, to watch its memory")
    arguments.add_argument("--seconds", type=float, default=30.0)
    arguments.add_argument("--overload-seconds", type=float, default=120.0)
    parsed = arguments.parse_args()
    harness.report(asyncio.run(measure(parsed)), parsed.json)


if __name__ == "__main__":
    main()
