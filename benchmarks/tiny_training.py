"""Both stages on a small corpus: an autoencoder of real faces, Mover's branches, Delocate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from tiny_corpus import SEEN, methods
from torch import nn

from mover_ray.forge.augment import PairAugment, PairConfig
from mover_ray.models.base import Detector
from mover_ray.models.delocate import Delocate, DelocateConfig
from mover_ray.models.mae import MAEConfig, MaskedAutoencoder
from mover_ray.models.mover import FINETUNING, MAPPING, Mover, MoverConfig
from mover_ray.models.part_masking import MaskingConfig
from mover_ray.training.checkpoint import read_weights
from mover_ray.training.corpus import Corpus
from mover_ray.training.finetune import Changes, FinetuneConfig, finetune
from mover_ray.training.meta import MetaConfig
from mover_ray.training.optim import OptimConfig
from mover_ray.training.pretrain import PretrainConfig, pretrain
from mover_ray.training.recipe import Habits, Recipe
from mover_ray.training.samples import Selection
from mover_ray.training.world import Alone, Runtime

#: Frames of a segment; fewer than the papers' five, because the clips are short.
FRAMES = 2
_PATCH_PX = 8
_HABITS = Habits(threads=2, log_steps=10)

Module = TypeVar("Module", bound=nn.Module)
Trained = TypeVar("Trained", bound=Detector)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSize:
    """How long each network is trained."""

    pretrain_epochs: int
    finetuning_epochs: int
    mapping_epochs: int
    delocate_epochs: int
    meta_steps: int = 2
    """Inner steps of meta-learning: each costs about as much as a step without it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """What a training has in common with those that it is compared with."""

    corpus: Corpus
    folder: Path
    """A training that is started again here goes on where it was."""
    size: TrainingSize
    seed: int

    @property
    def mae(self) -> MAEConfig:
        """Size of the autoencoder, by that of the crops."""
        image_px = int(self.corpus.facts["faces"]["size_px"])
        return MAEConfig(size="tiny", image_px=image_px, patch_px=_PATCH_PX)

    def runtime(self, name: str) -> Runtime:
        """Gives the place of one training."""
        return Runtime(world=Alone(), folder=self.folder / name)


def train_autoencoder(study: Study, masking: MaskingConfig, name: str = "mae") -> MaskedAutoencoder:
    """Trains the first stage on real faces alone."""
    model = _seeded(study, lambda: MaskedAutoencoder(study.mae))
    config = PretrainConfig(
        masking=masking,
        optim=OptimConfig(lr=1e-3, beta2=0.95),
        recipe=Recipe(epochs=study.size.pretrain_epochs, batch_size=32, seed=study.seed),
        habits=_HABITS,
    )
    best = pretrain(model, study.corpus, config, study.runtime(name))
    return _filled(model, read_weights(best))


def train_finetuning(study: Study, mae: MaskedAutoencoder, name: str = FINETUNING) -> Mover:
    """Trains Mover's finetuning branch, which starts from the autoencoder's encoder."""
    config = MoverConfig(mae=study.mae, segment_frames=FRAMES, branches=(FINETUNING,))
    mover = _seeded(study, lambda: Mover(config))
    if mover.finetuning is None:
        raise RuntimeError("the branch was asked for")
    mover.finetuning.get_submodule("encoder").load_state_dict(mae.encoder.state_dict())
    return _finetuned(study, mover, study.size.finetuning_epochs, MetaConfig(), name)


def train_mapping(
    study: Study,
    mae: MaskedAutoencoder,
    name: str = MAPPING,
    *,
    meta: bool = True,
    target: str = "unmasked",
) -> Mover:
    """Trains Mover's mapping branch, with meta-learning unless told otherwise."""
    config = MoverConfig(
        mae=study.mae, segment_frames=FRAMES, branches=(MAPPING,), target=target, parts_at_once=7
    )
    mover = _seeded(study, lambda: Mover(config))
    _fill_frozen(mover.mae, mae)
    learning = MetaConfig(enabled=meta, steps=study.size.meta_steps)
    return _finetuned(study, mover, study.size.mapping_epochs, learning, name)


def join_branches(study: Study, finetuning: Mover, mapping: Mover) -> Mover:
    """Gives the detector of both branches, each trained by itself as in the paper."""
    config = MoverConfig(mae=study.mae, segment_frames=FRAMES, parts_at_once=7)
    return _filled(Mover(config), {**finetuning.state_dict(), **mapping.state_dict()})


def train_delocate(study: Study, mae: MaskedAutoencoder, name: str = "delocate") -> Delocate:
    """Trains Delocate's localization stage."""
    config = DelocateConfig(mae=study.mae, segment_frames=FRAMES)
    delocate = _seeded(study, lambda: Delocate(config))
    _fill_frozen(delocate.mae, mae)
    return _finetuned(study, delocate, study.size.delocate_epochs, MetaConfig(), name)


def _finetuned(
    study: Study, detector: Trained, epochs: int, meta: MetaConfig, name: str
) -> Trained:
    pairs = PairConfig(families={"self_blended": 1.0})
    config = FinetuneConfig(
        data=Selection(methods=methods(SEEN)),
        optim=OptimConfig(lr=5e-4, layer_decay=0.75, warmup=0.1),
        optim_mapping=OptimConfig(name="sgd", lr=0.02, weight_decay=5e-4, warmup=0.1),
        meta=meta,
        recipe=Recipe(epochs=epochs, batch_size=16, seed=study.seed, clip_norm=5.0),
        habits=_HABITS,
    )
    changes = Changes(forge=PairAugment(pairs), name="self_blended")
    best = finetune(detector, study.corpus, config, study.runtime(name), changes)
    return _filled(detector, read_weights(best))


def _seeded(study: Study, build: Callable[[], Module]) -> Module:
    """Draws the first weights, whatever was drawn before."""
    torch.manual_seed(study.seed)
    return build()


def _fill_frozen(inner: nn.Module | None, mae: MaskedAutoencoder) -> None:
    if inner is None:
        raise RuntimeError("the detector has no autoencoder")
    inner.load_state_dict(mae.state_dict())


def _filled(model: Module, weights: Mapping[str, torch.Tensor]) -> Module:
    model.load_state_dict(weights)
    return model.eval()
