"""Model bundles: a detector with all that must be known to score with it.

A bundle is a folder of two files: `model.safetensors`, and `bundle.json`, which says
how faces are found and cropped, which frames are sampled, how logits become
probabilities, and where the weights come from. No pickle is ever read.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mover_ray import __version__
from mover_ray.config import to_mapping
from mover_ray.errors import ArtifactError, ConfigError, LocationError
from mover_ray.faces.policy import FacePolicy
from mover_ray.models.bundle_card import (
    ModelCard,
    Training,
    WeightsFile,
    from_document,
    to_document,
)
from mover_ray.models.calibration import Calibration
from mover_ray.models.registry import build_detector
from mover_ray.provenance import dump_json, sha256_bytes
from mover_ray.video.sampling import SamplingPolicy

if TYPE_CHECKING:
    from mover_ray.models.base import Detector

CARD_NAME = "bundle.json"
WEIGHTS_NAME = "model.safetensors"

#: A real one has about 3 KiB; what is longer is not read.
_MAX_CARD_BYTES = 2**20
_PICKLES = frozenset({".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle"})
_LAYOUT = "a bundle is a folder with bundle.json and model.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle(ModelCard):
    """A model as it lies on disk. Light: the weights stay there until asked for."""

    path: Path
    """Folder of the bundle, absolute."""
    weights: WeightsFile
    """The file that holds the weights."""
    model_sha256: str
    """SHA-256 of `bundle.json` in its one spelling, which holds that of the weights."""

    def detector(self) -> "Detector":
        """Builds the detector and reads its weights: on the CPU, ready to score.

        Raises:
            ArtifactError: The weights or the detector's config are refused.
        """
        from mover_ray.models.bundle_weights import read_weights

        detector = _build(self)
        try:
            read_weights(self.path / WEIGHTS_NAME, self.weights, detector)
        except OSError as error:
            raise ArtifactError(f"the weights cannot be read: {error}") from error
        return detector.eval()


def load(path: str | Path) -> Bundle:
    """Reads what a bundle says of itself and makes sure that its weights are the right ones.

    Does not import torch: whether the weights fit the detector and are finite shows in
    `Bundle.detector` and `verify`.

    Raises:
        ArtifactError: There is no bundle at `path`, or it is altered or refused.
    """
    folder = _folder(path)
    try:
        document, model_sha256 = _read_document(folder / CARD_NAME)
        card, weights = from_document(document)
        weights.check(folder / WEIGHTS_NAME)
    except OSError as error:
        raise ArtifactError(f"the bundle cannot be read: {error}") from error
    said = {item.name: getattr(card, item.name) for item in fields(ModelCard)}
    return Bundle(**said, path=folder.absolute(), weights=weights, model_sha256=model_sha256)


def verify(path: str | Path) -> Bundle:
    """Checks a whole bundle, every weight included, and gives what it says of itself.

    Raises:
        ArtifactError: The bundle is missing, altered or refused.
    """
    bundle = load(path)
    bundle.detector()
    return bundle


def save(
    path: str | Path, card: ModelCard, detector: "Detector", storage: str = "float32"
) -> Bundle:
    """Writes a bundle; it appears at `path` whole or not at all.

    Args:
        path: The folder to make; it must not exist.
        card: What the bundle is to say of itself. Its `detector_config` is replaced
            by every field of the detector's config.
        detector: Its weights are stored.
        storage: `float32` or `float16`.

    Raises:
        ArtifactError: A weight is not finite, or the crops do not fit the detector.
        LocationError: `path` exists or cannot be written.
    """
    from mover_ray.models.bundle_weights import write_weights

    _check_crop_size(card, detector)
    folder = Path(path)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    _require_absent(folder)
    try:
        draft.mkdir(parents=True)
        weights = write_weights(draft / WEIGHTS_NAME, detector, storage)
        document = to_document(card, weights)
        document["detector_config"] = to_mapping(detector.config)
        (draft / CARD_NAME).write_text(dump_json(document), encoding="utf-8")
        draft.rename(folder)
    except OSError as error:
        raise LocationError(f"the bundle cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return load(folder)


def init(
    path: str | Path,
    detector: str,
    settings: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    storage: str = "float32",
) -> Bundle:
    """Makes a bundle with random weights, marked `trained: false`.

    Args:
        path: The folder to make; it must not exist.
        detector: Key of `models.registry.DETECTORS`.
        settings: Values of the detector's config; the smallest size is the default.
        seed: The same seed gives the same weights.
        storage: `float32` or `float16`.

    Raises:
        ConfigError: The detector or a setting is unknown or refused.
        LocationError: `path` exists or cannot be written.
    """
    _require_absent(Path(path))  # before torch, which takes seconds to import
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build_detector(detector, settings or {})
    card = ModelCard(
        model_id=f"{detector}-untrained-{seed}",
        trained=False,
        licence="Apache-2.0",
        detector_name=detector,
        faces=FacePolicy(size_px=module.spec.size_px),
        sampling=SamplingPolicy(),
        calibration=Calibration(),
        thresholds=(),
        training=Training(code_version=__version__, seed=seed),
    )
    return save(path, card, module, storage)


def _folder(path: str | Path) -> Path:
    """Gives the folder of a bundle, or says what stands at `path` instead."""
    if "://" in str(path):
        hint = "copy the bundle to a local folder first"
        raise ArtifactError(f"a bundle is read from a local folder: `{path}`", hint=hint)
    folder = Path(path)
    if folder.suffix.lower() in _PICKLES and not folder.is_dir():
        raise ArtifactError(f"pickled weights are never read: `{path}`", hint=_LAYOUT)
    if not folder.exists():
        hint = f"`mover-ray models init mover --out {path}` makes an untrained one"
        raise ArtifactError(f"no such bundle: `{path}`", hint=hint)
    if not folder.is_dir():
        hint = f"name the folder that holds {CARD_NAME} and {WEIGHTS_NAME}"
        raise ArtifactError(f"a bundle is a folder: `{path}`", hint=hint)
    if not (folder / CARD_NAME).is_file():
        raise ArtifactError(f"no bundle, there is no {CARD_NAME}: `{path}`", hint=_LAYOUT)
    return folder


def _read_document(path: Path) -> tuple[Any, str]:
    """Gives the JSON at `path` and the SHA-256 of its one spelling."""
    with path.open("rb") as file:
        text = file.read(_MAX_CARD_BYTES + 1)
    if len(text) > _MAX_CARD_BYTES:
        raise ArtifactError(f"bundle.json is longer than 1 MiB: `{path}`")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        return document, sha256_bytes(dump_json(document).encode())
    # Nesting a thousand levels deep ends in a RecursionError.
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"bundle.json is no JSON: `{path}`: {error}") from error


def _build(bundle: Bundle) -> "Detector":
    import torch

    try:
        # The random weights are overwritten: whoever loads must not see their draw.
        with torch.random.fork_rng(devices=[]):
            detector = build_detector(bundle.detector_name, bundle.detector_config)
    except ConfigError as error:
        message = f"bundle.json is not acceptable: {error}"
        raise ArtifactError(message, hint=error.hint) from error
    _check_crop_size(bundle, detector)
    return detector


def _check_crop_size(card: ModelCard, detector: "Detector") -> None:
    if card.faces.size_px != detector.spec.size_px:
        raise ArtifactError(
            f"the face policy crops `{card.faces.size_px}` px, "
            f"the detector needs `{detector.spec.size_px}` px"
        )


def _require_absent(folder: Path) -> None:
    if folder.exists():
        hint = "choose another folder; a bundle is never overwritten"
        raise LocationError(f"the destination exists: `{folder}`", hint=hint)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
