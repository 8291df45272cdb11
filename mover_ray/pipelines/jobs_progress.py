"""How far a run is, read from its destination by whoever did not start it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from mover_ray.pipelines.destination import PROGRESS_NAME, Destination
from mover_ray.status import ANSWERED
from mover_ray.storage import normalise


@dataclass(frozen=True, kw_only=True, slots=True)
class RunProgress:
    """What `_progress.json` and `_SUCCESS.json` say."""

    attempt: int
    """The start that wrote it."""
    finished: bool
    """The run is proved complete."""
    total: int
    """Videos of the manifest."""
    done: int
    """Videos with a row."""
    total_bytes: int
    """Size of the manifest's videos, as far as it is known."""
    done_bytes: int
    """Size of those with a row."""
    counts: Mapping[str, int]
    """Rows by status: of this start, and of all once the run is finished."""
    videos_per_s: float | None
    """Of late; None while nothing has come."""
    eta_s: float | None
    """Seconds that are left at that rate, counted from `updated_at`."""
    updated_at: str
    """When it was written."""

    @property
    def failed(self) -> int:
        """Videos without an answer."""
        return sum(count for status, count in self.counts.items() if status not in ANSWERED)

    @property
    def written_s(self) -> float:
        """When the run last wrote how far it is, in seconds since 1970."""
        return datetime.fromisoformat(self.updated_at).timestamp()

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterLoad:
    """How busy a cluster's machines are, as its dashboard measures it."""

    nodes: int
    """Nodes that are alive."""
    cpu_busy: float | None
    """Mean share of CPU time in use, 0 to 1, each node counted by its CPUs."""
    gpus: int
    """GPUs of these nodes."""
    gpu_busy: float | None
    """Mean utilisation of the GPUs, 0 to 1; None where there is none or it is unknown."""

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        return asdict(self)


def read_progress(dest: str) -> RunProgress | None:
    """Gives how far the run at a destination is; None where none has begun.

    Raises:
        LocationError: What is there is damaged.
        StorageError: The destination cannot be read from here.
    """
    destination = Destination(normalise(dest), "")
    written = destination.read_document(PROGRESS_NAME)
    success = destination.success()
    if written is None and success is None:
        return None
    if success is None or (written and written["attempt"] > success["attempt"]):
        return _progress(written or {}, finished=False)
    facts = {**(written or {}), **success, "done": success["total"], "eta_s": None}
    return _progress({**facts, "updated_at": success["finished_at"]}, finished=True)


def cluster_load(nodes: Sequence[Mapping[str, Any]]) -> ClusterLoad:
    """Sums up what a dashboard says of its nodes."""
    alive = [node for node in nodes if (node.get("raylet") or {}).get("state") == "ALIVE"]
    cpus = [(_cpus(node), node["cpu"]) for node in alive if node.get("cpu") is not None]
    gpus = [gpu for node in alive for gpu in node.get("gpus") or ()]
    used = [gpu["utilizationGpu"] for gpu in gpus if gpu.get("utilizationGpu") is not None]
    weight = sum(count for count, _ in cpus)
    return ClusterLoad(
        nodes=len(alive),
        cpu_busy=sum(count * busy for count, busy in cpus) / (100 * weight) if weight else None,
        gpus=len(gpus),
        gpu_busy=sum(used) / (100 * len(used)) if used else None,
    )


def _cpus(node: Mapping[str, Any]) -> int:
    """Gives the CPUs of a node; the dashboard lists logical and physical ones."""
    return int((node.get("cpus") or [1])[0])


def _progress(facts: Mapping[str, Any], *, finished: bool) -> RunProgress:
    total_bytes = int(facts.get("total_bytes", 0))
    return RunProgress(
        attempt=int(facts["attempt"]),
        finished=finished,
        total=int(facts["total"]),
        done=int(facts["done"]),
        total_bytes=total_bytes,
        done_bytes=total_bytes if finished else int(facts.get("done_bytes", 0)),
        counts=dict(facts["counts"]),
        videos_per_s=facts.get("videos_per_s") or None,
        eta_s=facts.get("eta_s"),
        updated_at=str(facts["updated_at"]),
    )
