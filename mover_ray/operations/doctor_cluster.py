"""Is a Ray cluster fit for the work, and closed to others? Asks every node."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mover_ray.operations.doctor_check import FAIL, OK, WARN, Check, format_bytes
from mover_ray.operations.doctor_node import NodeFacts, examine_node
from mover_ray.video.isolation import LEVELS

_GIB = 1 << 30
#: A worker process must start first, on each node.
_ANSWER_S = 120.0
_HTTP_S = 10.0
#: Below the lease's 30 s by a wide margin, above what a slow reply makes of equal clocks.
_MOST_SKEW_S = 10.0
_WARN_SKEW_S = 2.0
_LEAST_SPILL_BYTES = 10 * _GIB


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock elsewhere, read between two readings of this one; Unix times."""

    asked_s: float
    there_s: float
    answered_s: float

    @property
    def skew_s(self) -> float:
        """Seconds by which it is certainly off; 0 if it may be right."""
        return max(0.0, self.there_s - self.answered_s) + min(0.0, self.there_s - self.asked_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A node of the cluster, and what it answered."""

    name: str
    """Its address, and the pool that it belongs to where it has such a label."""
    gpus: float
    """GPUs that the cluster believes it has."""
    facts: NodeFacts | None
    """None if it did not answer."""
    skew_s: float = 0.0
    """Seconds by which its clock is certainly ahead (or, negative, behind)."""


def examine_cluster(address: str, dest: str | None, *, require_sandbox: bool) -> list[Check]:
    """Joins a cluster, asks every node and the jobs API; gives the checks.

    Args:
        address: As `--address` of `score`.
        dest: Destination of a planned run on an object store; each node tries it.
        require_sandbox: A node without a sandbox has failed.

    Raises:
        LocationError: There is no cluster at the address, or it refuses.
    """
    from mover_ray.pipelines import ray_engine
    from mover_ray.pipelines.ray_config import RayConfig

    with ray_engine.connected(RayConfig(address=address)):
        nodes = _ask_all(dest)
        url = _dashboard_url()
    return [*judge(nodes, dest, require_sandbox=require_sandbox), check_jobs_api(url)]


def judge(nodes: Sequence[Node], dest: str | None, *, require_sandbox: bool) -> list[Check]:
    """Gives the checks of what the nodes answered; see `examine_cluster`."""
    silent = [node.name for node in nodes if node.facts is None]
    checks = [_check_answers(len(nodes), silent), _check_versions(nodes), _check_token(nodes)]
    checks += [_check_tls(nodes), _check_sandbox(nodes, require_sandbox=require_sandbox)]
    checks += [_check_gpus(nodes), _check_clocks(nodes), _check_spill(nodes)]
    if dest is not None:
        checks.append(_check_destination(nodes, dest))
    return checks


def check_jobs_api(url: str | None) -> Check:
    """Does the jobs API refuse whoever has no token? Otherwise it runs anybody's code.

    Args:
        url: Of the dashboard, such as `http://10.0.0.1:8265`.
    """
    name = "jobs api"
    if url is None:
        return Check(name, WARN, "the cluster has no dashboard, so jobs cannot be submitted")
    try:
        with urllib.request.urlopen(f"{url}/api/jobs/", timeout=_HTTP_S):  # noqa: S310 # Ray's own url
            pass
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return Check(name, OK, f"{url} refuses requests without a token")
        return Check(name, WARN, f"{url} answers {error.code} without a token")
    except OSError as error:
        hint = "whether it is closed cannot be told from here"
        return Check(name, WARN, f"{url} cannot be reached: {error}", hint)
    hint = "set RAY_AUTH_MODE=token on all nodes, and give them the same token"
    return Check(name, FAIL, f"{url} answers without a token: anybody can run code", hint)


def _ask_all(dest: str | None) -> list[Node]:
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    asked = [(node, _on(node, _probe, dest)) for node in alive]
    return [_answer(node, reply) for node, reply in asked]


def _on(node: dict[str, Any], function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function on a node, whatever it reserves; gives the reference to the result."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
    task = ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
    return task.remote(*arguments)


def _probe(dest: str | None) -> NodeFacts:
    """Runs on the node."""
    import ray

    # Ray spills below its session unless told otherwise, and has no public name for that.
    node: Any = ray._private.worker._global_node  # noqa: SLF001
    return examine_node(node.get_session_dir_path(), dest)


def _answer(node: dict[str, Any], reply: Any) -> Node:
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    pool = node["Labels"].get("mover-ray/pool")
    name = f"{node['NodeManagerAddress']} ({pool})" if pool else node["NodeManagerAddress"]
    gpus = node["Resources"].get("GPU", 0.0)
    try:
        facts = ray.get(reply, timeout=_ANSWER_S)
        # Now that a worker runs there, its clock is asked without the time of its start.
        asked_s = time.time()
        clock_s = ray.get(_on(node, time.time), timeout=_ANSWER_S)
    except (GetTimeoutError, RayError):
        return Node(name=name, gpus=gpus, facts=None)
    clock = Clock(asked_s, clock_s, time.time())
    return Node(name=name, gpus=gpus, facts=facts, skew_s=clock.skew_s)


def _dashboard_url() -> str | None:
    import ray

    place = ray._private.worker.get_dashboard_url()  # type: ignore[no-untyped-call] # noqa: SLF001
    return f"http://{place}" if place else None


def _check_answers(count: int, silent: list[str]) -> Check:
    if silent:
        hint = "`mover-ray` may not be installed there; its worker logs say more"
        return Check("nodes", FAIL, f"no answer from {', '.join(silent)}", hint)
    return Check("nodes", OK, f"all {count} answer")


def _check_versions(nodes: Sequence[Node]) -> Check:
    found: dict[str, set[str]] = {}
    for facts in _facts(nodes):
        for package, version in facts.versions.items():
            found.setdefault(package, set()).add(version)
    unequal = [
        f"{name} is {' and '.join(sorted(each))}" for name, each in found.items() if len(each) > 1
    ]
    if unequal:
        return Check("versions", FAIL, "; ".join(unequal), "run one image on all nodes")
    listed = ", ".join(f"{name} {min(versions)}" for name, versions in found.items())
    return Check("versions", OK, f"equal on all nodes: {listed}")


def _check_token(nodes: Sequence[Node]) -> Check:
    without = _where(nodes, lambda facts: not facts.token)
    if without:
        hint = "whoever reaches its ports runs code there: set RAY_AUTH_MODE=token"
        return Check("token", FAIL, f"Ray asks for none on {without}", hint)
    return Check("token", OK, "Ray asks for one on every node")


def _check_tls(nodes: Sequence[Node]) -> Check:
    without = _where(nodes, lambda facts: not facts.tls)
    if without:
        hint = "the token can be read on the wire: set RAY_USE_TLS=1, or trust the network"
        return Check("tls", WARN, f"Ray speaks in clear on {without}", hint)
    return Check("tls", OK, "Ray speaks TLS on every node")


def _check_sandbox(nodes: Sequence[Node], *, require_sandbox: bool) -> Check:
    broken = _where(nodes, lambda facts: facts.sandbox not in LEVELS)
    if broken:
        return Check("sandboxes", FAIL, f"none works on {broken}", "see `mover-ray doctor` there")
    unsafe = _where(nodes, lambda facts: facts.sandbox == "rlimits")
    if unsafe:
        hint = "allow user namespaces there, or at least seccomp filters"
        level = FAIL if require_sandbox else WARN
        return Check("sandboxes", level, f"rlimits alone, unsafe, on {unsafe}", hint)
    levels = sorted({facts.sandbox for facts in _facts(nodes)})
    return Check("sandboxes", OK, f"{' or '.join(levels)} on every node")


def _check_gpus(nodes: Sequence[Node]) -> Check:
    promised = sum(node.gpus for node in nodes)
    if not promised:
        return Check("gpus", OK, "the cluster has none; scoring runs on CPUs")
    wrong = [
        f"{node.name}: {node.gpus:.0f} promised, {node.facts.gpus_seen} there"
        + ("" if node.facts.cuda else ", and torch is built without CUDA")
        for node in nodes
        if node.gpus and node.facts and (node.facts.gpus_seen < node.gpus or not node.facts.cuda)
    ]
    if wrong:
        hint = "use the image's target `gpu`, and check the driver and the device plug-in"
        return Check("gpus", FAIL, "; ".join(wrong), hint)
    return Check("gpus", OK, f"{promised:.0f}, with a torch that can use them")


def _check_clocks(nodes: Sequence[Node]) -> Check:
    worst = max(nodes, key=lambda node: abs(node.skew_s))
    skew_s = abs(worst.skew_s)
    if skew_s < _WARN_SKEW_S:
        return Check("clocks", OK, f"no node is off by more than {_WARN_SKEW_S:.0f} s")
    found = f"{worst.name} is off by {skew_s:.0f} s"
    level = FAIL if skew_s > _MOST_SKEW_S else WARN
    return Check("clocks", level, found, "run a time service such as chrony on every node")


def _check_spill(nodes: Sequence[Node]) -> Check:
    free = {node.name: node.facts.spill_free_bytes for node in nodes if node.facts}
    if not free:
        return Check("spilling", FAIL, "no node says how much disk it has")
    least = min(free, key=lambda name: free[name])
    found = f"{format_bytes(free[least])} free on {least}, which has the least"
    if free[least] >= _LEAST_SPILL_BYTES:
        return Check("spilling", OK, found)
    hint = f"Ray spills crops to disk: {format_bytes(_LEAST_SPILL_BYTES)} a node are advisable"
    return Check("spilling", FAIL if free[least] < _GIB else WARN, found, hint)


def _check_destination(nodes: Sequence[Node], dest: str) -> Check:
    name = "destination, from the nodes"
    for node in nodes:
        if node.facts and node.facts.store_problem:
            hint = "nodes have roles of their own: see docs/operators.md"
            return Check(name, FAIL, f"{node.name}: {node.facts.store_problem}", hint)
    return Check(name, OK, f"every node may write to {dest}")


def _facts(nodes: Sequence[Node]) -> list[NodeFacts]:
    return [node.facts for node in nodes if node.facts is not None]


def _where(nodes: Sequence[Node], holds: Callable[[NodeFacts], bool]) -> str:
    return ", ".join(node.name for node in nodes if node.facts and holds(node.facts))
