"""The weights that a training begins with."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from torch import nn

from mover_ray.config import Settings
from mover_ray.errors import ArtifactError, ConfigError, StorageError
from mover_ray.models.base import Detector
from mover_ray.models.mae import Encoder, MaskedAutoencoder
from mover_ray.models.pretrained import (
    State,
    check_state,
    from_safetensors,
    from_timm,
    load_encoder,
)
from mover_ray.provenance import sha256_bytes
from mover_ray.status import Status
from mover_ray.storage import join, normalise, storage_for
from mover_ray.training.checkpoint import differing_fields

#: What a finished first stage leaves at its destination.
AUTOENCODER_NAME = "autoencoder.safetensors"
AUTOENCODER_CARD_NAME = "autoencoder.json"

_TIMM = "timm:"

_logger = logging.getLogger(__name__)


def start_encoder(model: MaskedAutoencoder, start: str) -> None:
    """Fills the encoder of a new autoencoder from public weights.

    Args:
        model: Its encoder is filled; its decoder stays as it is.
        start: `timm:NAME`, or the path or `s3://` address of a safetensors file.

    Raises:
        ArtifactError: The weights cannot be had, or do not fit.
    """
    if start.startswith(_TIMM):
        weights = from_timm(start.removeprefix(_TIMM))
    else:
        weights = from_safetensors(_read(start))
    load_encoder(model.encoder, weights)


def start_detector(
    detector: Detector, settings: Settings, start: str | None, faces: Mapping[str, Any]
) -> str | None:
    """Fills a new detector from the autoencoder of the first stage.

    Args:
        detector: Its autoencoder, and the encoder of its finetuning branch, are filled.
        settings: Every field of the config of its autoencoder.
        start: Destination of a first stage.
        faces: The face policy of the corpus; the first stage's must be the same.

    Returns:
        The SHA-256 of the autoencoder; None where the detector has none.

    Raises:
        ConfigError: No first stage is named although the detector needs one, or it has
            another face policy or autoencoder.
        ArtifactError: There is no finished first stage, or it is altered.
    """
    if not any(isinstance(part, Encoder) for part in detector.modules()):
        if start is not None:
            _logger.warning("this detector has no autoencoder; unused: `%s`", start)
        return None
    if start is None:
        hint = "`--start DEST` of a finished `mover-ray train pretrain`"
        raise ConfigError("the second stage begins with the first one's autoencoder", hint=hint)
    card = _read_card(start)
    _check_same("faces were cropped in another way", start, card["faces"], faces)
    _check_same("the autoencoder is another one", start, card["model"], settings)
    content = _read(join(start, AUTOENCODER_NAME))
    if sha256_bytes(content) != card["sha256"]:
        raise ArtifactError(f"the autoencoder was altered: `{start}`")
    _fill(detector, from_safetensors(content))
    return str(card["sha256"])


def _fill(detector: Detector, weights: State) -> None:
    autoencoder = getattr(detector, "mae", None)
    if isinstance(autoencoder, MaskedAutoencoder):
        check_state(weights, autoencoder.state_dict())
        autoencoder.load_state_dict(weights)
    branch = getattr(detector, "finetuning", None)
    encoder = getattr(branch, "encoder", None) if isinstance(branch, nn.Module) else None
    if isinstance(encoder, Encoder):
        load_encoder(encoder, weights)


def _read_card(start: str) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads(_read(join(start, AUTOENCODER_CARD_NAME)))
    except ArtifactError as error:
        hint = "run `mover-ray train pretrain` to its end first"
        raise ArtifactError(f"no finished first stage: `{start}`", hint=hint) from error
    return card


def _check_same(what: str, start: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    differing = differing_fields(there, here)
    if differing:
        hint = "train both stages on crops and with a model of the same settings"
        raise ConfigError(f"{what}: `{start}`: {', '.join(differing)}", hint=hint)


def _read(location: str) -> bytes:
    uri = normalise(location)
    try:
        return storage_for(uri).read(uri)
    except StorageError as error:
        if error.status is not Status.NOT_FOUND:
            raise
        raise ArtifactError(f"no weights: `{location}`") from error
