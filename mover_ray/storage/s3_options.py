"""Settings of the S3 client; read without boto3, which takes half a second to import."""

import os
from dataclasses import dataclass, field

from mover_ray.config import check_at_least

#: Environment variable; where it is set, requests say that the requester pays.
REQUESTER_PAYS = "MOVER_RAY_REQUESTER_PAYS"


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Options:
    """How patient the client is, and how much it may ask of the store. Changes no row."""

    connect_timeout_s: float = 10.0
    """Longest wait for a connection."""
    read_timeout_s: float = 30.0
    """Longest silence of a connection; S3's first byte comes after 0.1 to 0.2 s."""
    attempts: int = 5
    """Tries of one request, and of one body, the first included."""
    connections: int = 32
    """Connections kept open by one process."""
    pause_s: float = 0.2
    """Half of the longest pause before a second try; doubled for each one after it."""
    requester_pays: bool = field(default_factory=lambda: bool(os.environ.get(REQUESTER_PAYS)))
    """Whether to say that the requester pays, as some buckets demand."""
    node_requests_per_s: float | None = None
    """Requests a second, repeated ones included, of all processes of one machine together;
    None for no limit. S3 serves 5,500 reads a second and prefix."""
    node_mib_per_s: float | None = None
    """MiB a second that all processes of one machine together read; None for no limit."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        for name in ("attempts", "connections"):
            check_at_least(self, name, 1)
        for name in ("connect_timeout_s", "read_timeout_s", "pause_s"):
            check_at_least(self, name, 0.001)
        for name in ("node_requests_per_s", "node_mib_per_s"):
            if getattr(self, name) is not None:
                check_at_least(self, name, 0.001)
