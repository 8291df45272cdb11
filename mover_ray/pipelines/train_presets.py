"""Presets: trainings by name, each a TOML file that begins with what to expect of it."""

import difflib
import tomllib
from pathlib import Path

from mover_ray.config import Settings
from mover_ray.errors import ConfigError

_FOLDER = Path(__file__).parents[1] / "presets"
_SUFFIX = ".toml"


def names() -> list[str]:
    """Lists the presets that ship with mover-ray."""
    return sorted(path.stem for path in _FOLDER.glob(f"*{_SUFFIX}"))


def read(name: str) -> tuple[str, Settings]:
    """Gives the text and the settings of a preset.

    Args:
        name: One of `names`, or the path of a file of one's own, which ends in `.toml`.

    Raises:
        ConfigError: There is no such preset, or it is no TOML.
    """
    is_path = name.endswith(_SUFFIX)
    if not is_path and name not in names():
        raise ConfigError(f"unknown preset: `{name}`", hint=_nearest(name))
    path = Path(name) if is_path else _FOLDER / f"{name}{_SUFFIX}"
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"preset cannot be read: `{name}`: {error}") from error


def headline(text: str) -> str:
    """Gives the first line of a preset's text, which says what it trains."""
    return text.splitlines()[0].removeprefix("#").strip()


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name, names(), n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return "known are " + ", ".join(f"`{known}`" for known in names())
