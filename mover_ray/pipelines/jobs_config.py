"""How jobs reach a cluster's Jobs API and what they take with them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mover_ray.config import Settings, check_at_least, read_section
from mover_ray.errors import ConfigError

#: Where `ray start --head` puts the Jobs API.
DEFAULT_ADDRESS: Final = "http://127.0.0.1:8265"

#: What Ray's own commands take the Jobs API from.
_ADDRESS_VARIABLES: Final = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_SCHEMES: Final = ("http://", "https://")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobsConfig:
    """The section `[jobs]` of the settings. Changes no row."""

    wheel: str | None = None
    """Wheel of mover-ray that jobs run; None runs what the cluster's image has installed."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment of jobs. Whoever may list jobs can read it: no place for secrets."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that every job gets."""
    python: str = "python"
    """Interpreter on the cluster's nodes."""
    driver_cpus: float = 0.0
    """CPUs that a job's own process reserves; 0 keeps it on the head node."""
    stop_s: int = 120
    """How long a stopped job may take to commit what is under way; Ray itself allows 3 s."""
    timeout_s: float = 30.0
    """How long the cluster may take to answer."""
    token_file: str | None = None
    """File with the cluster's token; None goes by `RAY_AUTH_TOKEN` as Ray does."""
    ca_file: str | None = None
    """Certificates that an `https` address is checked with; None takes the system's."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "driver_cpus", 0.0)
        check_at_least(self, "stop_s", 3)
        check_at_least(self, "timeout_s", 1.0)
        for name in ("env", "labels"):
            for key, value in getattr(self, name).items():
                if not isinstance(value, str):
                    raise ConfigError(
                        f"`jobs.{name}.{key}` has the wrong type: `{value!r}`",
                        hint="write it in quotes",
                    )


def read_jobs_config(settings: Settings) -> JobsConfig:
    """Gives the section `[jobs]` of settings; an unknown key raises `ConfigError`."""
    return read_section(JobsConfig, settings, "jobs")


def is_jobs_address(address: str | None) -> bool:
    """Says whether an address speaks the Jobs API rather than Ray's own protocol."""
    return address is not None and address.startswith(_SCHEMES)


def ray_address(settings: Settings, given: str | None = None) -> str | None:
    """Gives the address that a command line or, failing that, its settings name."""
    section = settings.get("ray", {})
    named = section.get("address") if isinstance(section, dict) else None
    return given or named


def jobs_address(settings: Settings, given: str | None = None) -> str:
    """Gives the address of the Jobs API for a command that needs one.

    Raises:
        ConfigError: What is named is no `http(s)://` address.
    """
    named = ray_address(settings, given) or _address_of_environment()
    if not is_jobs_address(named):
        raise ConfigError(
            f"not the address of a Jobs API: `{named}`",
            hint=f"it begins with http:// or https://, such as {DEFAULT_ADDRESS}",
        )
    return named.rstrip("/")


def _address_of_environment() -> str:
    for name in _ADDRESS_VARIABLES:
        address = os.environ.get(name, "")
        if is_jobs_address(address):
            return address
    return DEFAULT_ADDRESS


def read_token(config: JobsConfig) -> str | None:
    """Gives the cluster's token from where Ray itself would take it; None where none is.

    Raises:
        ConfigError: The file that is named cannot be read.
    """
    if config.token_file is not None:
        return _read(Path(config.token_file).expanduser())
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return None
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    if named := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return _read(Path(named).expanduser())
    own = Path.home() / ".ray" / "auth_token"
    return _read(own) if own.is_file() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the token cannot be read: `{path}`: {error}") from error
