"""What a bundle says of its model: `bundle.json` as dataclasses. Imports no torch."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mover_ray.config import Settings, check_at_least, check_choice, from_mapping, to_mapping
from mover_ray.errors import ArtifactError, ConfigError
from mover_ray.faces.policy import FacePolicy
from mover_ray.models.calibration import Calibration, Threshold
from mover_ray.provenance import sha256_file
from mover_ray.video.sampling import SamplingPolicy

FORMAT_VERSION = 1

STORAGE = ("float32", "float16")

#: Names end up in rows, paths and pages; the length keeps tables legible.
_MODEL_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsFile:
    """What the weights file must be."""

    sha256: str
    """Of the whole file, 64 hexadecimal digits."""
    size_bytes: int
    """Of the whole file."""
    storage: str
    """Type of the stored weights: `float32` or `float16`; detectors compute in float32."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_choice(self, "storage", STORAGE)
        check_at_least(self, "size_bytes", 1)
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ConfigError(f"no SHA-256: `{self.sha256}`")

    def check(self, path: Path) -> None:
        """Raises `ArtifactError` unless the file at `path` is this one."""
        hint = "copy or download the bundle again"
        if not path.is_file():
            raise ArtifactError(f"the bundle has no weights: `{path}`", hint=hint)
        size_bytes = path.stat().st_size
        if size_bytes != self.size_bytes:
            message = f"the weights have `{size_bytes}` bytes instead of `{self.size_bytes}`"
            raise ArtifactError(f"{message}: `{path}`", hint=hint)
        if sha256_file(path) != self.sha256:
            message = "the weights are not those that the bundle was made with"
            raise ArtifactError(f"{message}: `{path}`", hint=hint)


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """Where the weights come from."""

    code_version: str
    """Version of mover-ray that made the bundle."""
    seed: int | None = None
    """Seed of the random weights that training began with."""
    command: str | None = None
    """Command that made the bundle."""
    datasets: tuple[str, ...] = ()
    """Names of the data sets that were seen."""
    manifest_sha256: str | None = None
    """SHA-256 of the training manifest."""
    parent_sha256: str | None = None
    """`model_sha256` of the bundle that training began with."""
    notes: str | None = None
    """What else a user must know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """A model without its weights."""

    model_id: str
    """Name that every row carries: lower case, digits, dots and dashes."""
    trained: bool
    """False for random weights; such scores mean nothing."""
    licence: str
    """SPDX name of the licence of the weights, or what binds their use."""
    detector_name: str
    """Key of `models.registry.DETECTORS`."""
    detector_config: dict[str, Any] = field(default_factory=dict)
    """Settings of the detector, every field of its config."""
    faces: FacePolicy
    """How faces get from a frame into the detector."""
    sampling: SamplingPolicy
    """Which frames are looked at."""
    calibration: Calibration
    """From the logit of the strongest track to a probability."""
    thresholds: tuple[Threshold, ...]
    """Scores at stated false-positive rates; empty where none was measured."""
    training: Training
    """Where the weights come from."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a name that cannot go into rows and paths."""
        check_model_id(self.model_id)


def check_model_id(name: str) -> None:
    """Raises `ConfigError` for a name that cannot go into rows, paths and pages."""
    if not _MODEL_ID.fullmatch(name):
        hint = "use up to 64 of a-z, 0-9, `.`, `_` and `-`"
        raise ConfigError(f"model_id is not acceptable: `{name}`", hint=hint)


def to_document(card: ModelCard, weights: WeightsFile) -> Settings:
    """Gives the content of `bundle.json`."""
    document: Settings = {"format_version": FORMAT_VERSION}
    for item in dataclasses.fields(ModelCard):
        document[item.name] = _plain(getattr(card, item.name))
    document["weights"] = to_mapping(weights)
    return document


def from_document(document: Any) -> tuple[ModelCard, WeightsFile]:
    """Reads the content of `bundle.json`.

    Raises:
        ArtifactError: A key is unknown or missing, or a value is refused.
    """
    if not isinstance(document, Mapping):
        raise ArtifactError("bundle.json holds no table")
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"unknown format_version in bundle.json: `{version}`",
            hint=f"this version of mover-ray reads format {FORMAT_VERSION}",
        )
    _check_complete(document)
    settings = dict(document)
    for key in ("format_version", "weights", "detector_config"):
        del settings[key]
    weights, config = document["weights"], document["detector_config"]
    if not isinstance(weights, Mapping) or not isinstance(config, Mapping):
        raise ArtifactError("weights and detector_config in bundle.json must be tables")
    try:
        card = from_mapping(ModelCard, settings)
        weights_file = from_mapping(WeightsFile, weights)
    # TypeError: a nested table lacks a key that has no default.
    except (ConfigError, TypeError) as error:
        hint = error.hint if isinstance(error, ConfigError) else None
        raise ArtifactError(f"bundle.json is not acceptable: {error}", hint=hint) from error
    return dataclasses.replace(card, detector_config=dict(config)), weights_file


def _check_complete(document: Mapping[str, Any]) -> None:
    required = {item.name for item in dataclasses.fields(ModelCard)}
    required |= {"format_version", "weights"}
    differing = sorted(required ^ set(document))
    if differing:
        verb = "lacks" if differing[0] in required else "has the unknown key"
        raise ArtifactError(f"bundle.json {verb} `{differing[0]}`")


def _plain(value: Any) -> Any:
    """Gives dataclasses, alone or in a tuple, as what JSON can hold."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return to_mapping(value) if dataclasses.is_dataclass(value) else value
