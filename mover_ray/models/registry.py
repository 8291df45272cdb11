"""The detectors by name. A new one is a module with `build` and one line here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from mover_ray.config import load_named, suggest
from mover_ray.errors import ConfigError

if TYPE_CHECKING:
    from mover_ray.models.base import Detector

#: Name of a detector -> `module:function` that builds it from its settings.
#: Strings, so that listing the detectors does not import torch.
DETECTORS: dict[str, str] = {
    "delocate": "mover_ray.models.delocate:build",
    "fcg": "mover_ray.models.fcg:build",
    "ln-clip": "mover_ray.models.ln_clip:build",
    "motion": "mover_ray.models.motion:build",
    "mover": "mover_ray.models.mover:build",
}


def build_detector(name: str, settings: Mapping[str, Any]) -> "Detector":
    """Builds a detector with random weights drawn from torch's global generator.

    Args:
        name: A key of `DETECTORS`.
        settings: Values of the detector's config; what is absent keeps its default.

    Raises:
        ConfigError: The name or a setting is unknown, or a value is refused.
    """
    if name not in DETECTORS:
        raise ConfigError(f"unknown detector: `{name}`", hint=suggest(name, DETECTORS))
    return cast("Detector", load_named(DETECTORS[name])(settings))
