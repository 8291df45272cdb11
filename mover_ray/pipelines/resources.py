"""How many workers a Ray cluster carries and what each of them reserves."""

import math
from dataclasses import dataclass, replace

import ray

from mover_ray.errors import LocationError
from mover_ray.pipelines.job import PipelineConfig

#: Ray Data's own bookkeeping tasks (listing, reading, cutting blocks) ask for a
#: whole CPU. The pools must leave one free or the run never starts: measured on
#: two cores, where half a CPU an actor hangs for ever and a third does not.
_FREE_CPUS = 1.0

#: The scoring actor works while decoders wait for it; it counts as half of one.
_FINISH_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Pools:
    """Sizes of the two actor pools and what each actor reserves."""

    prepare_min: int
    prepare_max: int
    prepare_cpus: float
    finish_min: int
    finish_max: int
    finish_cpus: float
    finish_gpus: float

    def at_most(self, blocks: int) -> "Pools":
        """Gives pools without actors that would never get a block."""
        return replace(
            self,
            prepare_min=min(self.prepare_min, blocks),
            prepare_max=min(self.prepare_max, blocks),
            finish_min=min(self.finish_min, blocks),
            finish_max=min(self.finish_max, blocks),
        )


def plan_pools(config: PipelineConfig) -> Pools:
    """Plans the pools for the cluster that this process is connected to."""
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    nodes = [node["Resources"] for node in alive]
    cpus = [resources["CPU"] for resources in nodes if resources.get("CPU")]
    gpus = int(sum(resources.get("GPU", 0) for resources in nodes))
    return size_pools(cpus, gpus, config)


def size_pools(node_cpus: list[float], gpus: int, config: PipelineConfig) -> Pools:
    """Plans the pools for nodes with so many CPUs.

    Args:
        node_cpus: CPUs of each node that has any.
        gpus: GPUs of the cluster; each carries one scoring actor.
        config: Workers a node and nodes at most.

    Raises:
        LocationError: No node has a CPU.
    """
    # A node of one CPU beside larger ones is a head: it keeps that CPU for Ray's tasks.
    node_cpus = [cpus for cpus in node_cpus if cpus > _FREE_CPUS] or node_cpus
    if not node_cpus:
        raise LocationError(
            "the Ray cluster has no node with CPUs",
            hint="wait for its workers, or start them with `--num-cpus`",
        )
    per_node = [config.workers or max(1, int(cpus)) for cpus in node_cpus]
    prepare = sum(per_node)
    finish = gpus or max(1, round(prepare / 8))
    finish_on_node = 0 if gpus else math.ceil(finish / len(node_cpus))
    # The smallest node decides: an actor that reserves more would fit nowhere else.
    share = min(
        max(0.0, cpus - _FREE_CPUS) / (workers + _FINISH_SHARE * finish_on_node)
        for cpus, workers in zip(node_cpus, per_node, strict=True)
    )
    share = min(1.0, math.floor(share * 100) / 100)
    growth = max(1.0, (config.max_nodes or len(node_cpus)) / len(node_cpus))
    return Pools(
        prepare_min=prepare,
        prepare_max=round(prepare * growth),
        prepare_cpus=share,
        finish_min=finish,
        finish_max=round(finish * growth),
        finish_cpus=0.0 if gpus else share * _FINISH_SHARE,
        finish_gpus=1.0 if gpus else 0.0,
    )
