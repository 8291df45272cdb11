"""Stage 1: an autoencoder learns from real faces how the parts of a face belong together.

Source: DeepfakeMAE (arXiv 2303.01740), section 3.1; Delocate's recovering stage
(arXiv 2401.13516) is the same.

Shapes:
    B: faces   C: colours   H, W: pixels   N: patches   K: landmarks   X: x and y
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mover_ray.config import to_mapping
from mover_ray.models.base import FaceBatch
from mover_ray.models.layers.pixels import normalize, patchify, unpatchify
from mover_ray.models.mae import MaskedAutoencoder
from mover_ray.models.part_masking import MaskingConfig, draw_hidden, locate_parts
from mover_ray.training.corpus import REAL, Corpus
from mover_ray.training.loading import Augment, Reading, View, ahead_of_time
from mover_ray.training.loop import train
from mover_ray.training.optim import OptimConfig
from mover_ray.training.pictures import to_unit, write_sheet
from mover_ray.training.recipe import Habits, Recipe
from mover_ray.training.sampler import EpochPlan, Indices, Share
from mover_ray.training.samples import (
    Selection,
    check_crop_size,
    require_real,
    segments,
    select,
)
from mover_ray.training.task import SCORE, PlainStep, Task
from mover_ray.training.world import Runtime, World

#: Faces on the sheet of restorations.
_SHOWN = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainConfig:
    """Every setting of the first stage beside the autoencoder's own."""

    data: Selection = field(default_factory=lambda: Selection(labels=("real",)))
    """Which videos; all must be real."""
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    """What is hidden of each face."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """How the weights move."""
    recipe: Recipe = field(default_factory=Recipe)
    """How long, in which batches (DeepfakeMAE: batches of 8)."""
    habits: Habits = field(default_factory=Habits)
    """What may change when the training is resumed."""


def pretrain(
    model: MaskedAutoencoder,
    corpus: Corpus,
    config: PretrainConfig,
    runtime: Runtime,
    augment: Augment | None = None,
) -> Path:
    """Trains the autoencoder; gives its best checkpoint.

    Args:
        model: Freshly built or filled with a public start.
        corpus: Crops of the model's size.
        config: Every setting.
        runtime: Where.
        augment: What is done to each crop before it is masked.

    Raises:
        ConfigError: The selection is empty, holds fakes, or is of another crop size.
        MoverRayError: See `loop.train`.
    """
    check_crop_size(corpus, model.config.image_px)
    chosen = {
        validation: segments(corpus, select(corpus, config.data, validation=validation), 1)
        for validation in (False, True)
    }
    for samples in chosen.values():
        require_real(samples)
    hide = partial(hidden_patches, model, config.masking)
    seed = config.recipe.seed
    faces = _Faces(Reading(samples=chosen[False], seed=seed, augment=augment), hide)
    seen = _Faces(Reading(samples=chosen[True], seed=seed), hide)
    settings = to_mapping(config)
    del settings["habits"], settings["recipe"]
    task = Task(
        model=model,
        step=PlainStep(model),
        optimizers={"": config.optim},
        data=lambda _: faces,
        validate=partial(_validate, model, seen, config.habits, runtime.world),
        illustrate=partial(_illustrate, model, seen, runtime.world.device),
        config={
            "model": to_mapping(model.config),
            "corpus": corpus.facts["fingerprint"],
            "pretrain": settings,
        },
    )
    return train(task, config.recipe, config.habits, runtime)


Hide = Callable[[Tensor, int], Tensor]


def hidden_patches(
    model: MaskedAutoencoder, masking: MaskingConfig, landmarks_KX: Tensor, seed: int
) -> Tensor:
    """Draws what is hidden of one face: bool [N]."""
    px, patch_px = model.config.image_px, model.config.patch_px
    parts_1PN = locate_parts(landmarks_KX[None], px, patch_px, masking.partition)
    generator = torch.Generator().manual_seed(seed)
    return draw_hidden(masking, parts_1PN, generator)[0]


@dataclass(frozen=True, slots=True)
class _Faces:
    """Single faces with what is hidden of them, drawn anew each epoch."""

    reading: Reading
    hide: Hide

    def __len__(self) -> int:
        return len(self.reading.samples)

    def load(self, plan: EpochPlan, share: Share, threads: Executor) -> Callable[[], FaceBatch]:
        return self.read(plan.units(share), plan.epoch, threads)

    def read(self, units: Indices, epoch: int, threads: Executor) -> Callable[[], FaceBatch]:
        faces = [threads.submit(self._face, unit, epoch) for unit in units.tolist()]
        return lambda: _join([face.result() for face in faces])

    def read_now(self, units: Indices) -> FaceBatch:
        return _join([self._face(unit, 0) for unit in units.tolist()])

    def names(self, plan: EpochPlan, share: Share) -> list[str]:
        return [self.reading.samples.name(unit) for unit in plan.units(share).tolist()]

    def _face(self, unit: int, epoch: int) -> tuple[View, Tensor]:
        view = self.reading.single(unit, epoch).views[0]
        key = np.random.SeedSequence((self.reading.seed, epoch, unit, 1))
        seed = int(key.generate_state(1)[0])
        return view, self.hide(torch.from_numpy(view.landmarks), seed)


def _join(faces: Sequence[tuple[View, Tensor]]) -> FaceBatch:
    views = [view for view, _ in faces]
    return FaceBatch(
        faces=torch.from_numpy(np.stack([view.pixels.transpose(2, 0, 1) for view in views])),
        landmarks=torch.from_numpy(np.stack([view.landmarks for view in views])),
        labels=torch.full((len(views),), REAL),
        hidden=torch.stack([hidden_N for _, hidden_N in faces]),
    )


def _validate(
    model: MaskedAutoencoder, faces: _Faces, habits: Habits, world: World, threads: Executor
) -> Mapping[str, float]:
    """Gives the error of hidden patches, the same of which are hidden every time."""
    totals = torch.zeros(2, dtype=torch.float64, device=world.device)
    own = np.arange(world.rank, len(faces), world.size)
    for batch in _read_all(faces, own, habits, threads):
        moved = batch.to(world.device)
        count = moved.hidden.sum() if moved.hidden is not None else torch.tensor(0)
        totals += torch.stack([model.losses(moved)["mse"] * count, count]).double()
    total, count = world.sum(totals).tolist()
    return {"val_mse": total / count, SCORE: -total / count}


def _read_all(
    faces: _Faces, units: Indices, habits: Habits, threads: Executor
) -> Iterator[FaceBatch]:
    pieces = [
        units[first : first + habits.micro_batch]
        for first in range(0, len(units), habits.micro_batch)
    ]
    starts = (partial(faces.read, piece, 0, threads) for piece in pieces)
    return ahead_of_time(starts, habits.ahead)


@torch.no_grad()
def _illustrate(model: MaskedAutoencoder, faces: _Faces, device: torch.device, path: Path) -> None:
    """Shows faces as given, masked, and with their hidden patches restored."""
    some = np.linspace(0, len(faces) - 1, min(_SHOWN, len(faces))).astype(np.int64)
    batch = faces.read_now(np.unique(some)).to(device)
    if batch.hidden is None:
        raise ValueError("faces without hidden patches")
    patch_px = model.config.patch_px
    images_BCHW = normalize(batch.faces)
    restored_BCHW = model.reconstruct(images_BCHW, batch.hidden)
    hidden_BN1 = batch.hidden[..., None]
    own_BNV = patchify(images_BCHW, patch_px)
    masked_BNV = own_BNV.masked_fill(hidden_BN1, 0.0)
    joined_BNV = torch.where(hidden_BN1, patchify(restored_BCHW, patch_px), own_BNV)
    shown = [images_BCHW, *(unpatchify(x, patch_px) for x in (masked_BNV, joined_BNV))]
    write_sheet(path.with_suffix(".png"), [to_unit(images) for images in shown])
