"""The weights that a training begins with."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from mover_ray.config import Settings
from mover_ray.errors import ArtifactError, ConfigError, StorageError
from mover_ray.models.base import Detector, Startable
from mover_ray.models.fcg import Fcg
from mover_ray.models.mae import Encoder, MaskedAutoencoder
from mover_ray.models.pretrained import (
    TIMM,
    State,
    check_state,
    from_location,
    from_safetensors,
    load_encoder,
    state_sha256,
)
from mover_ray.provenance import sha256_bytes
from mover_ray.status import Status
from mover_ray.storage import join, normalise, storage_for
from mover_ray.training.checkpoint import differing_fields

#: What a finished first stage leaves at its destination.
AUTOENCODER_NAME = "autoencoder.safetensors"
AUTOENCODER_CARD_NAME = "autoencoder.json"

#: What `train prototypes` leaves at its destination; `PROTOTYPES_KEY` names the tensor.
PROTOTYPES_NAME = "prototypes.safetensors"
PROTOTYPES_CARD_NAME = "prototypes.json"
PROTOTYPES_KEY = "prototypes_LPD"

_SAFETENSORS = ".safetensors"

_logger = logging.getLogger(__name__)


def start_encoder(model: MaskedAutoencoder, start: str) -> None:
    """Fills the encoder of a new autoencoder from public weights.

    Args:
        model: Its encoder is filled; its decoder stays as it is.
        start: `timm:NAME`, or the path or `s3://` address of a safetensors file.

    Raises:
        ArtifactError: The weights cannot be had, or do not fit.
    """
    load_encoder(model.encoder, from_location(start))


def start_detector(
    detector: Detector, settings: Settings, start: str | None, faces: Mapping[str, Any]
) -> str | None:
    """Fills a new detector from what was made before it: autoencoder or prototypes.

    Args:
        detector: Its autoencoder, and the encoder of its finetuning branch, are filled.
        settings: Every field of the config of its autoencoder.
        start: Destination of a first stage, or of prototypes; or, to do without a first
            stage, `timm:NAME` or a safetensors file, for the encoder alone.
        faces: The face policy of the corpus; the first stage's must be the same.

    Returns:
        The SHA-256 of the autoencoder, or of the encoder where there was no first stage;
        None where the detector has none.

    Raises:
        ConfigError: No first stage is named although the detector needs one, or it has
            another face policy or autoencoder.
        ArtifactError: There is no finished first stage, or it is altered.
    """
    if isinstance(detector, Fcg):
        return _start_queries(detector, start, faces)
    if isinstance(detector, Startable):
        return None if start is None else _start_publicly(detector, start)
    if not any(isinstance(part, Encoder) for part in detector.modules()):
        if start is not None:
            _logger.warning("this detector has no autoencoder; unused: `%s`", start)
        return None
    if start is None:
        hint = "`--start DEST` of a finished `mover-ray train pretrain`"
        raise ConfigError("the second stage begins with the first one's autoencoder", hint=hint)
    if start.startswith(TIMM) or start.endswith(_SAFETENSORS):
        return _without_first_stage(detector, start)
    card = _read_card(start, AUTOENCODER_CARD_NAME, "pretrain")
    _check_same("faces were cropped in another way", start, card["faces"], faces)
    _check_same("the autoencoder is another one", start, card["model"], settings)
    _fill(detector, _read_whole(start, AUTOENCODER_NAME, card))
    return str(card["sha256"])


def backbone_facts(detector: Fcg) -> dict[str, Any]:
    """Gives what must be the same for prototypes and the detector that starts from them."""
    config = detector.backbone.config
    return {
        "architecture": config.architecture,
        "image_px": config.image_px,
        "sha256": config.sha256,
    }


def _start_queries(detector: Fcg, start: str | None, faces: Mapping[str, Any]) -> str | None:
    if start is None:
        if not detector.config.guidance_weight:
            return None
        hint = "`--start DEST` of a finished `mover-ray train prototypes`"
        raise ConfigError("the guidance needs prototypes of facial components", hint=hint)
    card = _read_card(start, PROTOTYPES_CARD_NAME, "prototypes")
    _check_same("faces were cropped in another way", start, card["faces"], faces)
    _check_same("the backbone is another one", start, card["backbone"], backbone_facts(detector))
    tensors = _read_whole(start, PROTOTYPES_NAME, card)
    detector.guide(tensors[PROTOTYPES_KEY])
    return str(card["sha256"])


def _start_publicly(detector: Startable, start: str) -> str:
    weights = from_location(start)
    detector.load_start(weights)
    return state_sha256(weights)


def _without_first_stage(detector: Detector, start: str) -> str:
    """Fills the encoders from public weights; gives the SHA-256 of those."""
    weights = from_location(start)
    for part in detector.modules():
        if isinstance(part, Encoder):
            load_encoder(part, weights)
    return state_sha256(weights)


def _fill(detector: Detector, weights: State) -> None:
    autoencoder = getattr(detector, "mae", None)
    if isinstance(autoencoder, MaskedAutoencoder):
        check_state(weights, autoencoder.state_dict())
        autoencoder.load_state_dict(weights)
    for owner in (detector, getattr(detector, "finetuning", None)):
        encoder = getattr(owner, "encoder", None)
        if isinstance(encoder, Encoder):
            load_encoder(encoder, weights)


def _read_card(start: str, name: str, command: str) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads(_read(join(start, name)))
    except ArtifactError as error:
        hint = f"run `mover-ray train {command}` to its end first"
        raise ArtifactError(f"no finished `train {command}`: `{start}`", hint=hint) from error
    return card


def _read_whole(start: str, name: str, card: Mapping[str, Any]) -> State:
    """Reads the tensors that a card stands for."""
    content = _read(join(start, name))
    if sha256_bytes(content) != card["sha256"]:
        raise ArtifactError(f"the weights were altered: `{join(start, name)}`")
    return from_safetensors(content)


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
