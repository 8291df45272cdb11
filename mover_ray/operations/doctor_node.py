"""What one node says of itself; sent to every node of a cluster, so it starts quickly."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mover_ray.errors import MoverRayError

#: Packages that change rows or the way nodes speak; equal on all nodes.
_COMPARED = ("mover-ray", "ray", "torch", "av", "onnxruntime", "numpy", "pyarrow")


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeFacts:
    """What a node found out about itself."""

    versions: Mapping[str, str]
    """By package; `python` too. What is not installed is `missing`."""
    sandbox: str
    """The level that its decoder would work at, or why there is none."""
    token: bool
    """Whether its Ray asks for a token."""
    tls: bool
    """Whether its Ray speaks TLS."""
    spill_free_bytes: int
    """Free where its object store spills to."""
    gpus_seen: int
    """GPUs that a process there could open."""
    cuda: bool
    """Whether its torch is built for GPUs."""
    store_problem: str | None = None
    """What is wrong with the destination as seen from there."""


def examine_node(spill_folder: str, dest: str | None) -> NodeFacts:
    """Gives what the node that this runs on says of itself.

    Args:
        spill_folder: Where Ray spills to.
        dest: Destination of a planned run on an object store, to be tried from here.
    """
    import torch

    return NodeFacts(
        versions=_versions(),
        sandbox=_sandbox(),
        token=os.environ.get("RAY_AUTH_MODE", "").lower() == "token",
        tls=os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"),
        spill_free_bytes=shutil.disk_usage(spill_folder).free,
        gpus_seen=_count_gpus(Path("/dev")),
        cuda=torch.version.cuda is not None,
        store_problem=_store_problem(dest) if dest else None,
    )


def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:2]))}
    for name in _COMPARED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def _sandbox() -> str:
    from mover_ray.video.sandbox import sandbox_level

    try:
        return sandbox_level()
    except MoverRayError as error:
        return str(error)


def _count_gpus(devices: Path) -> int:
    """Counts without asking CUDA: Ray hides GPUs from what reserves none."""
    return sum(1 for path in devices.iterdir() if re.fullmatch(r"nvidia\d+", path.name))


def _store_problem(dest: str) -> str | None:
    from mover_ray.operations.doctor_check import OK, guarded
    from mover_ray.operations.doctor_store import check_store

    check = guarded("destination", lambda: check_store(dest))
    return None if check.level == OK else check.found
