"""Presets: trainings by name, each a TOML file that begins with what to expect of it."""

import tomllib
from pathlib import Path

from mover_ray.config import Settings, suggest
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
        raise ConfigError(f"unknown preset: `{name}`", hint=suggest(name, names()))
    path = Path(name) if is_path else _FOLDER / f"{name}{_SUFFIX}"
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"preset cannot be read: `{name}`: {error}") from error


def headline(text: str) -> str:
    """Gives the first line of a preset's text, which says what it trains."""
    return text.splitlines()[0].removeprefix("#").strip()
