"""Settings: TOML, environment and `--set` into frozen dataclasses, wrong ones refused.

A dataclass stands beside the code that reads it; this file only knows how to
fill one. Precedence, strongest first: `--set`, the environment
(`MOVER_RAY_PIPELINE__VIDEOS_PER_BLOCK=4`), `--config FILE`, the profile that is
chosen (`[profile.NAME.pipeline]`), `./mover-ray.toml`, the user's file.
"""

import dataclasses
import difflib
import functools
import hashlib
import importlib
import json
import os
import tomllib
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mover_ray.errors import ConfigError

ENV_PREFIX = "MOVER_RAY_"
PROJECT_FILE = Path("mover-ray.toml")

PROFILES = "profile"

#: Sections that say how work is sent and what it costs; no run reads them.
ASIDE = ("jobs", "prices")

Settings = dict[str, Any]
T = TypeVar("T")


def user_file() -> Path:
    """Gives the path of the user's own settings; it need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "mover-ray" / "config.toml"


def gather(
    config_file: Path | None = None,
    assignments: Sequence[str] = (),
    profile: str | None = None,
) -> Settings:
    """Merges every layer of settings, strongest last.

    Args:
        config_file: A TOML file named by the user; it must exist.
        assignments: `a.b=c` strings, each value in TOML's notation or a bare word.
        profile: Name of a table under `[profile]`, which holds settings as the file does.

    Raises:
        ConfigError: A file is missing or is no TOML, no file has the profile, or an
            assignment has no `=`.
    """
    standing = [path for path in (user_file(), PROJECT_FILE) if path.is_file()]
    named = [] if config_file is None else [config_file]
    files = [_read_toml(path) for path in (*standing, *named)]
    profiles = [_profiles(file.pop(PROFILES, {})) for file in files]
    layers = files[: len(standing)]
    if profile is not None:
        layers += _chosen(profiles, profile)
    layers += [*files[len(standing) :], from_environment(), parse_assignments(assignments)]
    return functools.reduce(merge, layers, {})


def _profiles(table: Any) -> Settings:
    if not isinstance(table, dict) or not all(isinstance(one, dict) for one in table.values()):
        raise ConfigError(
            f"`{PROFILES}` holds a section for each profile",
            hint=f"write `[{PROFILES}.NAME]` or `[{PROFILES}.NAME.ray]` above its settings",
        )
    return table


def _chosen(profiles: Sequence[Settings], name: str) -> list[Settings]:
    """Gives what each file says of one profile."""
    known = sorted({each for profile in profiles for each in profile})
    if name not in known:
        hint = suggest(name, known) if known else f"a settings file holds it: `[{PROFILES}.{name}]`"
        raise ConfigError(f"unknown profile: `{name}`", hint=hint)
    return [profile[name] for profile in profiles if name in profile]


def parse_assignments(assignments: Sequence[str]) -> Settings:
    """Gives `a.b=c` strings as nested settings, later ones stronger.

    Raises:
        ConfigError: One of them has no `=` or no name.
    """
    return functools.reduce(merge, map(_parse_assignment, assignments), {})


def for_command(settings: Settings, command: str, commands: Sequence[str]) -> Settings:
    """Gives the settings that one command sees.

    Args:
        settings: Of all commands; `[extract.faces]` speaks to `extract` alone. What stands
            under `ASIDE` is left out.
        command: The command; its own tables win over the common ones.
        commands: Every command that may have tables of its own.
    """
    common = {key: value for key, value in settings.items() if key not in (*commands, *ASIDE)}
    own = settings.get(command, {})
    if not isinstance(own, dict):
        raise ConfigError(f"`{command}` is a section, not a value: `{own}`")
    return merge(common, own)


def from_mapping(cls: type[T], settings: Mapping[str, Any], where: str = "") -> T:
    """Builds the dataclass `cls` from nested settings.

    Args:
        cls: A dataclass; fields that are dataclasses are filled from sub-tables.
        settings: Values by field name; what is absent keeps its default.
        where: Dotted name of this table, for messages.

    Raises:
        ConfigError: A key is unknown, a value has the wrong type, or `cls` refuses it.
    """
    hints = typing.get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    values = {}
    prefix = f"{where}." if where else ""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if key not in known:
            raise ConfigError(f"unknown setting: `{name}`", hint=suggest(key, known, prefix))
        values[key] = _convert(hints[key], value, name)
    missing = [
        field.name
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if field.name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        name = f"{where}.{missing[0]}" if where else missing[0]
        raise ConfigError(f"missing setting: `{name}`")
    return cls(**values)


def to_mapping(config: Any) -> Settings:
    """Gives the settings of a config dataclass as nested plain values."""
    return dataclasses.asdict(config)


def read_section(cls: type[T], settings: Settings, name: str) -> T:
    """Builds the dataclass of one section, `[name]`, of settings; absent, it has its defaults.

    Raises:
        ConfigError: As `from_mapping` does.
    """
    return typing.cast("T", _convert(cls, settings.get(name, {}), name))


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Gives 16 hexadecimal digits that change whenever a value in `settings` does."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_choice(config: Any, name: str, choices: Sequence[str]) -> None:
    """Raises `ConfigError` unless field `name` of `config` is one of `choices`."""
    value = getattr(config, name)
    if value not in choices:
        listed = ", ".join(f"`{choice}`" for choice in choices)
        raise ConfigError(f"unknown {name}: `{value}`", hint=f"choose one of {listed}")


def check_range(config: Any, name: str, low: float, high: float) -> None:
    """Raises `ConfigError` unless field `name` of `config` lies in [low, high]."""
    value = getattr(config, name)
    if not low <= value <= high:
        raise ConfigError(f"{name} is out of range: `{value}`", hint=f"{low} to {high} are allowed")


def check_at_least(config: Any, name: str, low: float) -> None:
    """Raises `ConfigError` unless field `name` of `config` is at least `low`."""
    value = getattr(config, name)
    if not value >= low:
        raise ConfigError(f"{name} is too small: `{value}`", hint=f"the least is {low}")


def _read_toml(path: Path) -> Settings:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no such configuration file: `{path}`") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"configuration file cannot be read: `{path}`: {error}") from error


def from_environment() -> Settings:
    """Reads `MOVER_RAY_SECTION__KEY`; names without a section are other switches."""
    settings: Settings = {}
    for name, text in sorted(os.environ.items()):
        path = name.removeprefix(ENV_PREFIX).lower().split("__")
        if name.startswith(ENV_PREFIX) and len(path) > 1:
            settings = merge(settings, _nest(path, _parse_value(text)))
    return settings


def _parse_assignment(text: str) -> Settings:
    path, equals, value = text.partition("=")
    if not equals or not all(path.split(".")):
        raise ConfigError(f"not an assignment: `{text}`", hint="write `--set section.key=value`")
    return _nest(path.strip().split("."), _parse_value(value.strip()))


def _parse_value(text: str) -> Any:
    """Reads TOML's notation; what is none of it is a bare word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _nest(path: Sequence[str], value: Any) -> Settings:
    for key in reversed(path):
        value = {key: value}
    return typing.cast("Settings", value)


def merge(low: Settings, high: Settings) -> Settings:
    """Gives the settings of both layers; where they differ, those of `high`."""
    merged = dict(low)
    for key, value in high.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _convert(hint: Any, value: Any, name: str) -> Any:
    """Checks `value` against the type of its field; int counts as float, a list as tuple."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise ConfigError(f"`{name}` is a section, not a value: `{value}`")
        return from_mapping(hint, value, name)
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        if option is type(None) and value is None:
            return None
        if option is float and type(value) in (int, float):
            return float(value)
        if typing.get_origin(option) in (dict, Mapping) and isinstance(value, Mapping):
            return dict(value)
        if typing.get_origin(option) is tuple and isinstance(value, list | tuple):
            return tuple(_convert(typing.get_args(option)[0], item, name) for item in value)
        if isinstance(option, type) and type(value) is option:
            return value
    wanted = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    raise ConfigError(f"`{name}` has the wrong type: `{value!r}`", hint=f"{wanted} is expected")


def suggest(name: str, known: Collection[str], prefix: str = "") -> str:
    """Gives the hint for an unknown name: the nearest known one, or else all of them.

    Args:
        name: What was written.
        known: What could have been.
        prefix: Stands before each name in the hint.
    """
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean `{prefix}{close[0]}`?"
    return "known are " + ", ".join(f"`{prefix}{each}`" for each in known)


def load_named(place: str) -> Any:
    """Gives what `module:name` of a registry stands for; imports the module."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
