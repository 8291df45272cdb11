"""Any model by its folder: a bundle, or an ensemble of bundles."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mover_ray.config import Settings, from_mapping, to_mapping
from mover_ray.errors import ConfigError
from mover_ray.models import bundle as bundles
from mover_ray.models import bundle_folder, ensemble
from mover_ray.models.bundle import Bundle
from mover_ray.models.ensemble import ENSEMBLE, Ensemble

Model: TypeAlias = Bundle | Ensemble


def load_model(path: str | Path) -> Model:
    """Reads what a model says of itself; see `bundle.load`.

    Raises:
        ArtifactError: There is no model at `path`, or it is altered or refused.
    """
    document, _ = bundle_folder.read_card(bundle_folder.find(path))
    return ensemble.load(path) if ensemble.is_ensemble(document) else bundles.load(path)


def verify_model(path: str | Path) -> Model:
    """Checks a whole model, every weight included, and gives what it says of itself.

    Raises:
        ArtifactError: The model is missing, altered or refused.
    """
    model = load_model(path)
    for member in model.members:
        member.detector()
    return model


def describe(model: Model) -> Settings:
    """Gives what a model says of itself, as plain values."""
    if isinstance(model, Ensemble):
        card = to_mapping(ensemble.recarded(model))
        return {**card, "model_sha256": model.model_sha256, "path": str(model.path)}
    return {**to_mapping(model), "path": str(model.path)}


@dataclass(frozen=True, kw_only=True, slots=True)
class InitOptions:
    """A model that is to be made without training."""

    out: Path
    """The folder to make; it must not exist."""
    name: str
    """A detector, or `ensemble`."""
    settings: Settings
    """Of the detector; of an ensemble `model_id` alone."""
    members: Sequence[Path] = ()
    """Bundles of an ensemble."""
    seed: int = 0
    """Of the weights."""
    storage: str = "float32"
    """Type of the stored weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _EnsembleSettings:
    model_id: str | None = None


def init_model(options: InitOptions) -> Model:
    """Makes a bundle with random weights, or an ensemble of bundles.

    Raises:
        ArtifactError: A member is missing, altered or refused.
        ConfigError: The detector or a setting is unknown or refused, or an ensemble has
            fewer than two members.
        LocationError: The folder exists or cannot be written.
    """
    if options.name == ENSEMBLE:
        settings = from_mapping(_EnsembleSettings, options.settings)
        members = [bundles.load(path) for path in options.members]
        return ensemble.create(options.out, members, settings.model_id)
    if options.members:
        hint = f"`mover-ray models init {ENSEMBLE}` makes an ensemble of them"
        raise ConfigError(f"a detector has no members: `{options.name}`", hint=hint)
    return bundles.init(
        options.out, options.name, options.settings, seed=options.seed, storage=options.storage
    )
