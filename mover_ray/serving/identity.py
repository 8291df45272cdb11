"""Who asks, and what they may do."""

from dataclasses import dataclass
from typing import Final, Protocol

#: What a key or a token can allow. `admin` reads the metrics and stops anybody's scans.
SCOPES: Final = ("score", "scan", "results", "admin")

#: Names of tenants become parts of prefixes and of file names.
TENANT_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a request was authenticated as."""

    tenant: str
    """Owns jobs, scans and idempotency keys."""
    credential: str
    """Which key or token it was, for the audit log; no secret."""
    scopes: frozenset[str]


class Authenticator(Protocol):
    """One way to tell who asks."""

    async def identify(self, credential: str) -> Identity | None:
        """Gives whom a bearer credential stands for; None for one that is not accepted."""
        ...


class AnyOf:
    """Several ways, tried one after the other."""

    def __init__(self, ways: list[Authenticator]) -> None:
        """Takes the ways in the order in which they are tried."""
        self._ways = ways

    async def identify(self, credential: str) -> Identity | None:
        """Gives the first identity that one of the ways finds."""
        for way in self._ways:
            identity = await way.identify(credential)
            if identity is not None:
                return identity
        return None
