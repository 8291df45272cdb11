"""Stage 2: a detector learns to tell manipulated faces from real ones.

The same loop serves Mover's branches, separately (paper) or together, and Delocate;
which of them are trained, the detector's own config says.

Source: DeepfakeMAE (arXiv 2303.01740), section 3.2; Delocate (arXiv 2401.13516).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from torch import nn

from mover_ray.config import to_mapping
from mover_ray.models.base import Detector
from mover_ray.training.corpus import Corpus
from mover_ray.training.loading import Augment, Pairs, PairTransform, Reading
from mover_ray.training.loop import train
from mover_ray.training.meta import MetaConfig, MetaStep
from mover_ray.training.meta_split import MetaPairs, split_pairs
from mover_ray.training.optim import OptimConfig
from mover_ray.training.pairing import pair_up
from mover_ray.training.recipe import Habits, Recipe
from mover_ray.training.samples import (
    Samples,
    Selection,
    check_crop_size,
    segments,
    select,
)
from mover_ray.training.task import EpochData, PlainStep, Task
from mover_ray.training.validation import Validation, illustrate
from mover_ray.training.world import Runtime

#: Where the mapping network's parameters stand in Mover and in Delocate.
_MAPPING = "mapping."


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneConfig:
    """Every setting of the second stage beside the detector's own."""

    data: Selection = field(default_factory=Selection)
    """Which videos."""
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(lr=1e-3, layer_decay=0.75, warmup=0.1)
    )
    """How the weights move, those of the mapping network excepted."""
    optim_mapping: OptimConfig = field(
        default_factory=lambda: OptimConfig(name="sgd", lr=0.1, weight_decay=5e-4)
    )
    """How the mapping network's weights move (paper: SGD)."""
    meta: MetaConfig = field(default_factory=MetaConfig)
    """Meta-learning; the paper uses it for the mapping network."""
    recipe: Recipe = field(default_factory=lambda: Recipe(clip_norm=5.0))
    """How long, in which batches; a unit is a real segment with its fake. Ours: gradients
    are clipped, because the paper's SGD rate of 0.1 can diverge from a random start."""
    habits: Habits = field(default_factory=Habits)
    """What may change when the training is resumed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What is done to crops before the detector sees them."""

    augment: Augment | None = None
    """To pairs of real and given fake segments."""
    forge: PairTransform | None = None
    """Makes a pseudo-fake of each real segment, beside the given fakes."""
    name: str = ""
    """Says which they are: a checkpoint made with others is refused."""


def finetune(
    detector: Detector,
    corpus: Corpus,
    config: FinetuneConfig,
    runtime: Runtime,
    changes: Changes | None = None,
) -> Path:
    """Trains a detector; gives its best checkpoint.

    Args:
        detector: With the weights that it starts from; what is frozen stays as it is.
            Segments have as many frames as it takes.
        corpus: Crops of the detector's size.
        config: Every setting.
        runtime: Where.
        changes: Augmentation; None: there is none.

    Raises:
        ConfigError: The selection lacks real or fake videos, or is of another crop size.
        MoverRayError: See `loop.train`.
    """
    changes = changes or Changes()
    check_crop_size(corpus, detector.spec.size_px)
    spec = detector.spec
    training, validation = (
        segments(
            corpus,
            select(corpus, config.data, validation=held_out),
            spec.segment_frames,
            clips=spec.clips,
        )
        for held_out in (False, True)
    )
    check = Validation.of(validation, detector, config.recipe.seed, changes.forge)
    settings = to_mapping(config)
    del settings["habits"], settings["recipe"]
    task = Task(
        model=detector,
        step=MetaStep(detector, config.meta) if config.meta.enabled else PlainStep(detector),
        optimizers=_optimizers(detector, config),
        data=_data(training, config, changes, with_masks=detector.mask_kind == "trained"),
        validate=partial(check.run, config.habits, runtime.world),
        illustrate=partial(illustrate, check, runtime.world.device),
        config={
            "model": to_mapping(detector.config),
            "corpus": corpus.facts["fingerprint"],
            "changes": changes.name,
            "finetune": settings,
        },
    )
    return train(task, config.recipe, config.habits, runtime)


def _data(
    samples: Samples, config: FinetuneConfig, changes: Changes, *, with_masks: bool
) -> Callable[[int], EpochData]:
    """Gives the function that gives the units of an epoch."""
    seed = config.recipe.seed
    reading = Reading(
        samples=samples,
        seed=seed,
        augment=changes.augment,
        forge=changes.forge,
        with_masks=with_masks,
    )

    def of_epoch(epoch: int) -> EpochData:
        pairs = pair_up(samples, seed, epoch, forge=changes.forge is not None)
        if not config.meta.enabled:
            return Pairs(reading, pairs)
        parts = split_pairs(samples, pairs, config.meta, seed, epoch)
        return MetaPairs(*(Pairs(reading, part) for part in parts))

    of_epoch(0)  # what cannot be paired or split is said before anything starts
    return of_epoch


def _optimizers(model: nn.Module, config: FinetuneConfig) -> dict[str, OptimConfig]:
    """Gives the optimizers that have something to do."""
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    mapping = [name for name in trained if name.startswith(_MAPPING)]
    offered = {"": config.optim, _MAPPING: config.optim_mapping}
    wanted = {"": len(mapping) < len(trained), _MAPPING: bool(mapping)}
    return {prefix: optim for prefix, optim in offered.items() if wanted[prefix]}
