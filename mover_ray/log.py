"""Logging set-up for entry points; library code only asks for module loggers."""

import contextlib
import contextvars
import datetime
import json
import logging
import os
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from mover_ray.errors import ConfigError

LEVEL_VARIABLE = "MOVER_RAY_LOG_LEVEL"
LEVELS = ("debug", "info", "warning", "error")
FORMAT_VARIABLE = "MOVER_RAY_LOG_FORMAT"
FORMATS = ("text", "json")
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_NO_FIELDS: Mapping[str, str] = types.MappingProxyType({})
_fields = contextvars.ContextVar("fields", default=_NO_FIELDS)


@contextlib.contextmanager
def log_fields(**fields: object) -> Iterator[None]:
    """Adds fields such as `run_id` and `video_id` to every record of a `with` block.

    They stand in the lines of the format `json`, as strings: a `video_id` has
    more digits than JavaScript's numbers.

    Args:
        fields: By name; those that are None are left out.
    """
    given = {name: str(value) for name, value in fields.items() if value is not None}
    token = _fields.set({**_fields.get(), **given})
    try:
        yield
    finally:
        _fields.reset(token)


class _Stderr(logging.Handler):
    """Writes to whatever `sys.stderr` is at that moment.

    A progress bar replaces `sys.stderr` while it is drawn; a handler that kept
    the stream of its own start would write across the bar.
    """

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)  # noqa: T201 # the stream is the point


class JsonFormatter(logging.Formatter):
    """One JSON object a line; a line break inside a message cannot forge a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Gives the record with its time in UTC and the fields of `log_fields`."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields.get(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(level: str | None = None) -> None:
    """Sends log records to stderr: those of mover_ray from `level` up, others' warnings.

    `MOVER_RAY_LOG_FORMAT` is `text`, or `json` for whatever collects logs.

    Args:
        level: One of `LEVELS`; without it `MOVER_RAY_LOG_LEVEL`, else `warning`.

    Raises:
        ConfigError: The level or the format is none of them.
    """
    name = _checked("log level", level or os.environ.get(LEVEL_VARIABLE) or "warning", LEVELS)
    form = _checked("log format", os.environ.get(FORMAT_VARIABLE) or "text", FORMATS)
    handler = _Stderr()
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("mover_ray").setLevel(name.upper())


def _checked(what: str, value: str, known: tuple[str, ...]) -> str:
    value = value.lower()
    if value not in known:
        listed = ", ".join(f"`{choice}`" for choice in known)
        raise ConfigError(f"unknown {what}: `{value}`", hint=f"choose one of {listed}")
    return value
