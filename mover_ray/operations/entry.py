"""What the entry points of jobs share: a spec in, an exit code out."""

import json
import logging
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mover_ray.config import Settings, from_environment, from_mapping, merge
from mover_ray.errors import ConfigError, MoverRayError
from mover_ray.log import set_up_logging
from mover_ray.pipelines.options import SourceOptions
from mover_ray.pipelines.progress import Progress
from mover_ray.provenance import dump_json
from mover_ray.status import ANSWERED

Options = TypeVar("Options")

_logger = logging.getLogger(__name__)
_LINE_EVERY_S = 60.0
_TOO_MANY_FAILED = 4
_MAX_FAILED = "max_failed"


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
            Beside them `max_failed` says how many failed videos still are a success.
        pipeline: The pipeline.
        arguments: The command line: the path of a TOML spec, or the spec itself as JSON.

    Returns:
        The exit code.
    """
    set_up_logging(None)
    try:
        if len(arguments) != 1:
            raise ConfigError("one argument is expected", hint="the path of a TOML spec")
        spec = read_spec(arguments[0])
        allowed = spec.pop(_MAX_FAILED, None)
        summary = pipeline(options_of(options_type, spec), LoggedProgress()).as_json()
    except MoverRayError as error:
        _logger.error("%s", error)  # noqa: TRY400 # a user's error needs no traceback
        if error.hint:
            _logger.error("hint: %s", error.hint)  # noqa: TRY400
        return error.exit_code
    sys.stdout.write(dump_json(summary))
    return _exit_code(summary, allowed)


def _exit_code(summary: Mapping[str, Any], allowed: int | None) -> int:
    counts = summary.get("counts", {})
    failed = sum(count for status, count in counts.items() if status not in ANSWERED)
    if allowed is None or failed <= allowed:
        return 0
    _logger.error("%d videos failed, %d were allowed", failed, allowed)
    return _TOO_MANY_FAILED


def read_spec(argument: str) -> Settings:
    """Gives what a spec says.

    Args:
        argument: The path of a TOML file, or JSON.

    Raises:
        ConfigError: There is no such file, or it is no TOML.
    """
    try:
        if argument.startswith("{"):
            spec = json.loads(argument)
        else:
            spec = tomllib.loads(Path(argument).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"spec cannot be read: `{argument}`: {error}") from error
    return dict(spec)


def options_of(options_type: type[Options], spec: Settings) -> Options:
    """Gives the options that a spec describes.

    The environment of the node that the job runs on counts where the spec is
    silent: what is secret is set there.

    Raises:
        ConfigError: A key is unknown, or a value has the wrong type.
    """
    if issubclass(options_type, SourceOptions):
        spec = {**spec, "settings": merge(from_environment(), spec.get("settings", {}))}
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
