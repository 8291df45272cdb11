"""How many machines an archive takes: from what a video costs to nodes and money."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mover_ray.config import check_at_least, check_range
from mover_ray.errors import ConfigError, LocationError
from mover_ray.pipelines.costs import FACES_PER_GPU_S, PricesConfig
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.parts import read_table
from mover_ray.storage import normalise

_FACTORS = {"K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}
_COLUMNS = ("fetch_ms", "decode_ms", "faces_ms", "score_ms", "bytes_read")
_FILES = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoCost:
    """What one video takes on average."""

    cpu_s: float = 1.7
    """CPU seconds to fetch, decode, find and crop faces. The default is for 32 frames of
    a clip of half a minute: 1.0 s to decode it (measured 0.7 s for 751 frames of 480p and
    1.3 s for 300 frames of 1080p, one idle core) and 32 times 23 ms for its faces
    (docs/faces.md, 480p to 1080p, a busy core)."""
    gpu_s: float = 32 / FACES_PER_GPU_S
    """GPU seconds to score it; 0 where scoring is done on CPUs and part of `cpu_s`. The
    default is for one face in 32 frames at the rate that `pipelines.costs` states."""
    bytes: float = 6e6
    """Bytes that are fetched. The default is half a minute at 1.6 Mbit/s."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        for name in ("cpu_s", "gpu_s", "bytes"):
            check_at_least(self, name, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """The machines that can be had."""

    node_cpus: int = 16
    """CPUs of a node without a GPU."""
    node_gpus: int = 1
    """GPUs of a node with some."""
    efficiency: float = 0.8
    """Share of the time that machines work; the rest is Ray's own, starting and waiting."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "node_cpus", 1)
        check_at_least(self, "node_gpus", 1)
        check_range(self, "efficiency", 0.05, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The machines that an archive takes."""

    videos: int
    """Videos of the archive."""
    hours: float
    """Time that it may take."""
    video: VideoCost
    """What a video was taken to cost."""
    fleet: Fleet
    """What machines were taken to be like."""
    cpu_hours: float
    """Hours of CPUs that are paid, idle ones among them."""
    gpu_hours: float
    """Hours of GPUs that are paid."""
    cpu_nodes: int
    """Nodes without a GPU."""
    gpu_nodes: int
    """Nodes with GPUs."""
    videos_per_s: float
    """How fast the cluster must be."""
    gbit_per_s: float
    """What it reads from the store."""
    cost: float | None
    """What it costs; None where a price is missing."""
    currency: str
    """What the cost is in."""

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        return asdict(self)


def make_plan(
    videos: int, hours: float, video: VideoCost, fleet: Fleet, prices: PricesConfig
) -> Plan:
    """Sizes a cluster.

    Args:
        videos: At least 1.
        hours: Time that it may take, more than 0.
        video: What a video costs.
        fleet: What machines are like.
        prices: What they cost.

    Raises:
        ConfigError: Nothing is to be done, or in no time.
    """
    if videos < 1 or not hours > 0:
        raise ConfigError(f"nothing to plan: `{videos}` videos in `{hours}` hours")
    seconds = hours * 3600 * fleet.efficiency
    cpu_nodes = math.ceil(videos * video.cpu_s / seconds / fleet.node_cpus)
    gpu_nodes = math.ceil(videos * video.gpu_s / seconds / fleet.node_gpus)
    cpu_hours = cpu_nodes * fleet.node_cpus * hours
    gpu_hours = gpu_nodes * fleet.node_gpus * hours
    per_s = videos / (hours * 3600)
    return Plan(
        videos=videos,
        hours=hours,
        video=video,
        fleet=fleet,
        cpu_hours=cpu_hours,
        gpu_hours=gpu_hours,
        cpu_nodes=cpu_nodes,
        gpu_nodes=gpu_nodes,
        videos_per_s=per_s,
        gbit_per_s=per_s * video.bytes * 8 / 1e9,
        cost=prices.cost(cpu_hours, gpu_hours),
        currency=prices.currency,
    )


def measure(dest: str, *, on_gpu: bool) -> VideoCost:
    """Gives what a video cost in a run of `score`, from its rows.

    Args:
        dest: Where the run is.
        on_gpu: Whether its scoring time was a GPU's.

    Raises:
        LocationError: There are no rows.
    """
    destination = Destination(normalise(dest), "results")
    names = destination.counting_parts()
    if not names:
        raise LocationError(
            f"no rows of `score` at: `{destination.base}`",
            hint="name the folder that was given as --out",
        )
    chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, _FILES).astype(int))]
    tables = [read_table(destination, name, _COLUMNS) for name in chosen]
    videos = sum(table.num_rows for table in tables)
    means = {
        column: sum(float(np.nansum(table[column].to_numpy())) for table in tables) / videos
        for column in _COLUMNS
    }
    score_s = means["score_ms"] / 1000
    prepare_s = sum(means[name] for name in ("fetch_ms", "decode_ms", "faces_ms")) / 1000
    return VideoCost(
        cpu_s=prepare_s if on_gpu else prepare_s + score_s,
        gpu_s=score_s if on_gpu else 0.0,
        bytes=means["bytes_read"],
    )


def parse_count(text: str) -> int:
    """Gives a number such as `2500`, `10M` or `1.5K`.

    Raises:
        ConfigError: It is none.
    """
    plain = text.replace(",", "").replace("_", "").strip().upper()
    factor = _FACTORS.get(plain[-1:], 1)
    try:
        count = float(plain[:-1] if factor > 1 else plain) * factor
        return round(count)
    except (ValueError, OverflowError):
        raise ConfigError(f"not a number: `{text}`", hint="such as 2500, 10K or 10M") from None
