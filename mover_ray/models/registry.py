"""The detectors by name. A new one is a module with `build` and one line here."""

import difflib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from mover_ray.errors import ConfigError

if TYPE_CHECKING:
    from mover_ray.models.base import Detector

#: Name of a detector -> `module:function` that builds it from its settings.
#: Strings, so that listing the detectors does not import torch.
DETECTORS: dict[str, str] = {
    "delocate": "mover_ray.models.delocate:build",
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
        raise ConfigError(f"unknown detector: `{name}`", hint=_nearest(name))
    module, _, function = DETECTORS[name].partition(":")
    return cast("Detector", getattr(importlib.import_module(module), function)(settings))


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name, DETECTORS, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return "known are " + ", ".join(f"`{known}`" for known in DETECTORS)
