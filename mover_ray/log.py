"""Logging set-up for entry points; library code only asks for module loggers."""

import logging
import os
import sys

from mover_ray.errors import ConfigError

LEVEL_VARIABLE = "MOVER_RAY_LOG_LEVEL"
LEVELS = ("debug", "info", "warning", "error")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Stderr(logging.Handler):
    """Writes to whatever `sys.stderr` is at that moment.

    A progress bar replaces `sys.stderr` while it is drawn; a handler that kept
    the stream of its own start would write across the bar.
    """

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)  # noqa: T201 # the stream is the point


def set_up_logging(level: str | None = None) -> None:
    """Sends log records to stderr: those of mover_ray from `level` up, others' warnings.

    Args:
        level: One of `LEVELS`; without it `MOVER_RAY_LOG_LEVEL`, else `warning`.

    Raises:
        ConfigError: The level is none of them.
    """
    name = (level or os.environ.get(LEVEL_VARIABLE) or "warning").lower()
    if name not in LEVELS:
        listed = ", ".join(f"`{choice}`" for choice in LEVELS)
        raise ConfigError(f"unknown log level: `{name}`", hint=f"choose one of {listed}")
    handler = _Stderr()
    handler.setFormatter(logging.Formatter(_FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("mover_ray").setLevel(name.upper())
