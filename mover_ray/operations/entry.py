"""What the entry points of jobs share: a TOML spec in, an exit code out."""

import logging
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mover_ray.config import from_mapping
from mover_ray.errors import ConfigError, MoverRayError
from mover_ray.log import set_up_logging
from mover_ray.pipelines.progress import Progress
from mover_ray.provenance import dump_json

Options = TypeVar("Options")

_logger = logging.getLogger(__name__)
_LINE_EVERY_S = 60.0


class Summary(Protocol):
    """How a pipeline ended."""

    def as_json(self) -> dict[str, Any]:
        """Gives the document that is printed."""
        ...


def run_job(
    options_type: type[Options],
    pipeline: Callable[[Options, Progress], Summary],
    arguments: Sequence[str],
) -> int:
    """Runs a pipeline as its spec says; prints the summary as JSON on stdout.

    Args:
        options_type: What the spec's keys are; its table `settings` holds settings.
        pipeline: The pipeline.
        arguments: The command line: the path of the spec.

    Returns:
        The exit code.
    """
    set_up_logging(None)
    try:
        if len(arguments) != 1:
            raise ConfigError("one argument is expected", hint="the path of a TOML spec")
        summary = pipeline(read_spec(options_type, Path(arguments[0])), LoggedProgress())
    except MoverRayError as error:
        _logger.error("%s", error)  # noqa: TRY400 # a user's error needs no traceback
        if error.hint:
            _logger.error("hint: %s", error.hint)  # noqa: TRY400
        return error.exit_code
    sys.stdout.write(dump_json(summary.as_json()))
    return 0


def read_spec(options_type: type[Options], path: Path) -> Options:
    """Gives the options that a spec describes.

    Raises:
        ConfigError: There is no such file, it is no TOML, or a key is unknown.
    """
    try:
        spec = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"spec cannot be read: `{path}`: {error}") from error
    return from_mapping(options_type, spec)


class LoggedProgress:
    """A `Progress` for a job's log: a line a minute."""

    def __init__(self) -> None:
        """Logs nothing before `start`."""
        self._counts: Counter[str] = Counter()
        self._total = 0
        self._done = 0
        self._logged_at = time.monotonic()

    def start(self, total: int, done: int) -> None:
        """Logs how much there is to do."""
        self._total, self._done = total, done
        _logger.info("%d of %d videos are left", total - done, total)

    def advance(self, counts: Mapping[str, int]) -> None:
        """Counts; logs once a minute."""
        self._counts.update(counts)
        self._done += sum(counts.values())
        if time.monotonic() - self._logged_at >= _LINE_EVERY_S:
            self._log()

    def message(self, text: str) -> None:
        """Logs a line."""
        _logger.warning("%s", text)

    def finish(self) -> None:
        """Logs the last count."""
        self._log()

    def _log(self) -> None:
        self._logged_at = time.monotonic()
        _logger.info("%d of %d videos: %s", self._done, self._total, dict(self._counts))
