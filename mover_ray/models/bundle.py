"""Model bundles: a detector with all that must be known to score with it.

A bundle is a folder of two files: `model.safetensors`, and `bundle.json`, which says
how faces are found and cropped, which frames are sampled, how logits become
probabilities, and where the weights come from. No pickle is ever read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mover_ray import __version__
from mover_ray.config import to_mapping
from mover_ray.errors import ArtifactError, ConfigError
from mover_ray.faces.policy import FacePolicy
from mover_ray.models import bundle_folder
from mover_ray.models.bundle_card import (
    ModelCard,
    Training,
    WeightsFile,
    from_document,
    to_document,
)
from mover_ray.models.bundle_folder import CARD_NAME, WEIGHTS_NAME
from mover_ray.models.calibration import Calibration
from mover_ray.models.registry import build_detector
from mover_ray.models.view import View
from mover_ray.provenance import dump_json
from mover_ray.video.sampling import SamplingPolicy

if TYPE_CHECKING:
    from mover_ray.models.base import Detector


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle(ModelCard):
    """A model as it lies on disk. Light: the weights stay there until asked for."""

    path: Path
    """Folder of the bundle, absolute."""
    weights: WeightsFile
    """The file that holds the weights."""
    model_sha256: str
    """SHA-256 of `bundle.json` in its one spelling, which holds that of the weights."""

    @property
    def members(self) -> tuple["Bundle", ...]:
        """The bundle alone: an ensemble has several."""
        return (self,)

    @property
    def views(self) -> tuple[View, ...]:
        """What the detector is shown."""
        return (View(faces=self.faces, sampling=self.sampling),)

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
    folder = bundle_folder.find(path)
    document, model_sha256 = bundle_folder.read_card(folder)
    card, weights = from_document(document)
    try:
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
    with bundle_folder.written_whole(folder) as draft:
        weights = write_weights(draft / WEIGHTS_NAME, detector, storage)
        document = to_document(card, weights)
        document["detector_config"] = to_mapping(detector.config)
        (draft / CARD_NAME).write_text(dump_json(document), encoding="utf-8")
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
    bundle_folder.require_absent(Path(path))  # before torch, which takes seconds to import
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
        sampling=_sampling_of(module),
        calibration=Calibration(),
        thresholds=(),
        training=Training(code_version=__version__, seed=seed),
    )
    return save(path, card, module, storage)


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


def _sampling_of(detector: "Detector") -> SamplingPolicy:
    if detector.spec.clips:
        return SamplingPolicy(policy="clips", clip_frames=detector.spec.segment_frames)
    return SamplingPolicy()
