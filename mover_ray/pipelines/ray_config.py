"""How to reach or start Ray; read without importing it."""

import os
import secrets
from dataclasses import dataclass

from mover_ray.config import check_at_least


@dataclass(frozen=True, kw_only=True, slots=True)
class RayConfig:
    """How to reach or start Ray. Changes no row."""

    address: str | None = None
    """Cluster to join, `auto` for the one on this machine; None starts one."""
    num_cpus: int | None = None
    """CPUs of a cluster that is started; None takes the machine's."""
    temp_dir: str | None = None
    """Where a cluster that is started keeps its session; a short path."""
    no_progress_s: float = 10800.0
    """A run in which nothing moves for so long is ended with an error."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        if self.num_cpus is not None:
            check_at_least(self, "num_cpus", 1)
        check_at_least(self, "no_progress_s", 1.0)


def prepare_environment(config: RayConfig) -> None:
    """Sets what Ray reads when it is first imported; what the user has set stays.

    A cluster that is started gets a token of its own; by itself Ray would write
    one into the user's home, legible to everyone on the machine. Its native log
    is kept off the terminal; its files have it.
    """
    if config.address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        os.environ.setdefault("RAY_SCHEDULER_EVENTS", "0")
