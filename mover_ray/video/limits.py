"""What the operating system lets a process do that decodes untrusted bytes."""

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

from mover_ray.video.budget import VideoBudget
from mover_ray.video.landlock import renounce_paths
from mover_ray.video.linux import PR_SET_PDEATHSIG, prctl
from mover_ray.video.seccomp import filter_system_calls

#: Names the strongest sandbox level that is put to use: `bwrap`, `seccomp` or `rlimits`.
LEVEL_VARIABLE: Final = "MOVER_RAY_SANDBOX"
#: The level at which limits on memory, time, files and descriptors are all there is.
UNSAFE_LEVEL: Final = "rlimits"


def die_with_parent() -> None:
    """Has the kernel kill this process when the thread that started it ends (Linux)."""
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


def limit_process(budget: VideoBudget) -> None:
    """Sets limits on this process that it cannot lift again.

    From here on no descriptor can be opened, no process or thread started. On Linux paths are
    renounced and system calls filtered too, unless the environment names the unsafe level.

    Raises:
        OSError: The kernel refuses one of them.
    """
    confined = sys.platform == "linux" and os.environ.get(LEVEL_VARIABLE) != UNSAFE_LEVEL
    _limit_resources(budget)
    if confined:
        renounce_paths()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    if confined:
        filter_system_calls()


def _limit_resources(budget: VideoBudget) -> None:
    # One second more for the hard limit: the soft one is told apart by its signal.
    resource.setrlimit(resource.RLIMIT_CPU, (budget.cpu_s, budget.cpu_s + 1))
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(kind, (0, 0))
    if sys.platform == "linux":
        most = _address_space_bytes() + budget.memory_mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _address_space_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")
