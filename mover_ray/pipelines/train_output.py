"""What a finished training leaves behind: an autoencoder, or a bundle to score with."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from mover_ray import __version__
from mover_ray.config import from_mapping, to_mapping
from mover_ray.errors import LocationError
from mover_ray.faces.policy import FacePolicy
from mover_ray.models import bundle as bundles
from mover_ray.models.base import Detector
from mover_ray.models.bundle_card import ModelCard, Training
from mover_ray.models.calibration import Calibration
from mover_ray.models.mae import MaskedAutoencoder
from mover_ray.pipelines.train_config import FinetuneRun, PretrainRun
from mover_ray.pipelines.train_corpus import dataset_names, manifest_sha256
from mover_ray.pipelines.train_start import AUTOENCODER_CARD_NAME, AUTOENCODER_NAME
from mover_ray.provenance import dump_json, sha256_file
from mover_ray.training.checkpoint import read_weights
from mover_ray.training.corpus import Corpus

BUNDLE_NAME = "bundle"


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """How a training came about, for the record of its model."""

    name: str
    """Of the preset."""
    command: str | None
    """Command that started it."""
    parent_sha256: str | None = None
    """Of the weights that a second stage began with: an autoencoder, or prototypes."""


def training_facts(run: PretrainRun | FinetuneRun, corpus: Corpus, origin: Origin) -> Training:
    """Gives the provenance of the weights."""
    notes = None
    if origin.parent_sha256:
        notes = f"began with weights of SHA-256 {origin.parent_sha256}"
    return Training(
        code_version=__version__,
        seed=run.recipe.seed,
        command=origin.command,
        datasets=dataset_names(corpus, run.training.data.datasets),
        manifest_sha256=manifest_sha256(run.corpus),
        notes=notes,
    )


def model_card(run: FinetuneRun, corpus: Corpus, origin: Origin) -> ModelCard:
    """Gives what the bundle will say of itself.

    Made before training, so that a name that cannot stand in rows is refused in time.

    Raises:
        ConfigError: `model_id` is not acceptable.
    """
    return ModelCard(
        model_id=run.model_id or f"{origin.name}-{run.recipe.seed}",
        trained=True,
        licence=run.licence,
        detector_name=run.detector,
        faces=from_mapping(FacePolicy, corpus.facts["faces"]),
        sampling=run.sampling,
        calibration=Calibration(),
        thresholds=(),
        training=training_facts(run, corpus, origin),
    )


def save_bundle(folder: Path, card: ModelCard, detector: Detector, checkpoint: Path) -> None:
    """Writes `bundle/` with the weights of a checkpoint.

    Raises:
        ArtifactError: The checkpoint is damaged, or a weight is not finite.
        LocationError: The disk is full.
    """
    detector.load_state_dict(read_weights(checkpoint))
    path = folder / BUNDLE_NAME
    if path.exists():  # of a start that ended before it could say that it had finished
        shutil.rmtree(path)
    bundles.save(path, card, detector)


def save_autoencoder(
    folder: Path,
    model: MaskedAutoencoder,
    faces: Mapping[str, Any],
    training: Training,
    checkpoint: Path,
) -> None:
    """Writes the autoencoder of a checkpoint, and the card that a second stage checks.

    Raises:
        ArtifactError: The checkpoint is damaged.
        LocationError: The disk is full.
    """
    path = folder / AUTOENCODER_NAME
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(read_weights(checkpoint), draft)
        card = {
            "model": to_mapping(model.config),
            "faces": dict(faces),
            "training": to_mapping(training),
            "sha256": sha256_file(draft),
        }
        draft.replace(path)
        # Last: where the card is, the weights are.
        (folder / AUTOENCODER_CARD_NAME).write_text(dump_json(card), encoding="utf-8")
    except OSError as error:
        raise LocationError(f"the autoencoder cannot be written: `{path}`: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
