"""`train prototypes`: what facial components look like to the backbone of a detector."""

import time
from dataclasses import dataclass
from typing import Any

from safetensors.torch import save

from mover_ray.config import to_mapping
from mover_ray.errors import ConfigError, LocationError
from mover_ray.models.fcg import Fcg
from mover_ray.models.registry import build_detector
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.progress import Progress
from mover_ray.pipelines.train import TrainOptions, resolve
from mover_ray.pipelines.train_config import FinetuneRun
from mover_ray.pipelines.train_corpus import cache_folder, open_local
from mover_ray.pipelines.train_start import (
    PROTOTYPES_CARD_NAME,
    PROTOTYPES_KEY,
    PROTOTYPES_NAME,
    backbone_facts,
)
from mover_ray.pipelines.train_worker import choose_device
from mover_ray.provenance import dump_json, sha256_bytes, utc_now
from mover_ray.storage import normalise
from mover_ray.training.corpus import Corpus
from mover_ray.training.prototypes import PrototypeConfig, mean_keys
from mover_ray.training.world import Alone


@dataclass(frozen=True, kw_only=True, slots=True)
class PrototypeSummary:
    """What was made."""

    dest: str
    """What `train finetune --start` names."""
    faces: int
    """Faces that were looked at."""
    seconds: float
    """Wall time."""

    def as_json(self) -> dict[str, Any]:
        """Gives the summary as the document that `--json` prints."""
        return to_mapping(self)


def build_prototypes(options: TrainOptions, progress: Progress) -> PrototypeSummary:
    """Looks at real faces through the backbone that a finetuning preset names.

    Args:
        options: The preset of the detector that will start from here, a corpus and where to.
            What is selected for its training is looked at, real videos alone.
        progress: Told when the work begins.

    Raises:
        ConfigError: A setting is wrong, the detector has no facial components, or the
            corpus does not do.
        ArtifactError: The backbone cannot be had.
        LocationError: The corpus is not there, or the destination holds prototypes.
    """
    started = time.monotonic()
    run = resolve("finetune", options)
    destination = Destination(normalise(options.dest), PROTOTYPES_NAME)
    if destination.read_document(PROTOTYPES_CARD_NAME) is not None:
        hint = "choose another --out; prototypes are never overwritten"
        raise LocationError(f"the destination holds prototypes: `{destination.base}`", hint=hint)
    if not isinstance(run, FinetuneRun):
        raise TypeError(type(run))
    corpus = open_local(run.corpus, cache_folder(run.cache_dir), Alone(), first=True)
    faces = _write(destination, run, corpus, progress)
    return PrototypeSummary(dest=destination.base, faces=faces, seconds=time.monotonic() - started)


def _write(destination: Destination, run: FinetuneRun, corpus: Corpus, progress: Progress) -> int:
    """Measures and writes; gives the number of faces."""
    device = choose_device(gpu=run.workers.gpu)
    detector = build_detector(run.detector, run.model).to(device)
    if not isinstance(detector, Fcg):
        raise ConfigError(f"a detector without facial components: `{run.detector}`")
    data = to_mapping(run.training.data) | {"labels": ("real",), "methods": ()}
    progress.message(f"looking at real faces through {detector.backbone.config.architecture}")
    config = PrototypeConfig(data=type(run.training.data)(**data))
    prototypes_LPD, faces = mean_keys(detector.backbone, corpus, config, device)
    content = save({PROTOTYPES_KEY: prototypes_LPD.contiguous()})
    card = {
        "backbone": backbone_facts(detector),
        "faces": corpus.facts["faces"],
        "corpus": corpus.facts["fingerprint"],
        "crops": faces,
        "sha256": sha256_bytes(content),
        "made_at": utc_now(),
    }
    storage = destination.storage
    storage.write(destination.uri(PROTOTYPES_NAME), content)
    # Last: where the card is, the prototypes are.
    storage.write(destination.uri(PROTOTYPES_CARD_NAME), dump_json(card).encode())
    return faces
