"""What a check of `mover-ray doctor` gives, and how one is run."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from mover_ray.errors import MoverRayError

Level = Literal["ok", "warn", "fail"]
OK: Level = "ok"
WARN: Level = "warn"
FAIL: Level = "fail"

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str
    level: Level
    """`ok`, `warn` (works, with a drawback) or `fail` (runs will not work, or not safely)."""
    found: str
    hint: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """Gives the check as it stands in the document of `--json`."""
        return asdict(self)


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """Runs a check; what cannot even be imported or opened has failed."""
    try:
        return check()
    except MoverRayError as error:
        return Check(name, FAIL, str(error), error.hint)
    except (ImportError, OSError) as error:
        return Check(name, FAIL, str(error), "install the locked requirements: `make setup`")


def format_bytes(size_bytes: float) -> str:
    """Gives a size as `512 MiB` or `7.9 GiB`."""
    if size_bytes < _GIB:
        return f"{size_bytes / (1 << 20):.0f} MiB"
    return f"{size_bytes / _GIB:.1f} GiB"
