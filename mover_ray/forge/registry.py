"""The manipulations by name. A new one is a module with `build` and one line here."""

from collections.abc import Mapping
from typing import Any

from mover_ray.config import load_named, suggest
from mover_ray.errors import ConfigError
from mover_ray.forge.base import Manipulation

#: Name of a manipulation -> `module:function` that builds it from its settings.
MANIPULATIONS: dict[str, str] = {
    "self_blended": "mover_ray.forge.self_blended:build",
    "self_blended_image": "mover_ray.forge.self_blended:build_image",
    "self_blended_jitter": "mover_ray.forge.self_blended:build_jitter",
    "faceswap": "mover_ray.forge.faceswap:build",
    "deepfakes": "mover_ray.forge.deepfakes:build",
    "face2face": "mover_ray.forge.face2face:build",
    "neuraltextures": "mover_ray.forge.neuraltextures:build",
    "temporal": "mover_ray.forge.temporal:build",
}


def build_manipulation(name: str, settings: Mapping[str, Any]) -> Manipulation:
    """Builds a manipulation.

    Args:
        name: A key of `MANIPULATIONS`.
        settings: Values of the manipulation's config; what is absent keeps its default.

    Raises:
        ConfigError: The name or a setting is unknown, or a value is refused.
    """
    if name not in MANIPULATIONS:
        raise ConfigError(f"unknown manipulation: `{name}`", hint=suggest(name, MANIPULATIONS))
    manipulation: Manipulation = load_named(MANIPULATIONS[name])(settings)
    return manipulation
