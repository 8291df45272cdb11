"""What the operating system lets a process do that decodes untrusted bytes."""

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

from mover_ray.video.budget import VideoBudget

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """Has the kernel kill this process when the thread that started it ends (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def limit_process(budget: VideoBudget) -> None:
    """Sets limits on this process that it cannot lift again.

    No new descriptor can be opened from here on: no file, no socket.
    """
    # One second more for the hard limit: the soft one is told apart by its signal.
    resource.setrlimit(resource.RLIMIT_CPU, (budget.cpu_s, budget.cpu_s + 1))
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (0, 0))
    if sys.platform == "linux":
        most = _address_space_bytes() + budget.memory_mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _address_space_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")
