"""One worker of a training: the same code alone and among many."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mover_ray.config import to_mapping
from mover_ray.errors import ConfigError, LocationError
from mover_ray.models.mae import MaskedAutoencoder
from mover_ray.models.registry import build_detector
from mover_ray.pipelines.train_changes import QualityAugment, changes_of
from mover_ray.pipelines.train_config import FinetuneRun, PretrainRun
from mover_ray.pipelines.train_corpus import cache_folder, open_local
from mover_ray.pipelines.train_mirror import Mirror
from mover_ray.pipelines.train_output import (
    Origin,
    model_card,
    save_autoencoder,
    save_bundle,
    training_facts,
)
from mover_ray.pipelines.train_start import start_detector, start_encoder
from mover_ray.storage import storage_for, uri_to_path
from mover_ray.training.checkpoint import Checkpoints
from mover_ray.training.corpus import Corpus
from mover_ray.training.finetune import finetune
from mover_ray.training.loop import CHECKPOINTS
from mover_ray.training.pretrain import pretrain
from mover_ray.training.world import Runtime, ScalarWriter, World

#: Written by whoever starts the training, before any worker begins.
RUN_NAME = "run.json"

CURVES = "tensorboard"

#: Told on every worker at the end of each epoch.
OnEpoch = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainPlan:
    """A training as its workers get it."""

    run: PretrainRun | FinetuneRun
    """Every setting."""
    dest: str
    """Uri of the destination."""
    run_id: str
    """The same over all starts at one destination."""
    name: str
    """Of the preset."""
    command: str | None
    """Command that started the training, for the model's record."""

    @property
    def folder(self) -> Path:
        """The local folder in which the training works, on any node."""
        if storage_for(self.dest).is_local:
            return uri_to_path(self.dest)
        return cache_folder(self.run.cache_dir) / "runs" / self.run_id

    @property
    def mirror(self) -> Mirror | None:
        """What keeps the destination like the folder; None where they are the same."""
        if storage_for(self.dest).is_local:
            return None
        return Mirror(self.folder, self.dest)


def work(plan: TrainPlan, world: World, on_epoch: OnEpoch, *, first: bool) -> None:
    """Trains to the end; the worker of rank 0 leaves the finished model.

    Args:
        plan: What is trained.
        world: The workers.
        on_epoch: Told of each epoch's metrics.
        first: Whether this worker is the first one of its node.

    Raises:
        MoverRayError: The corpus, the start or the settings do not do; see `loop.train`.
    """
    run, mirror, leads = plan.run, plan.mirror, world.rank == 0
    corpus = open_local(run.corpus, cache_folder(run.cache_dir), world, first=first)
    _agree(plan, mirror, world, first=first)
    torch.manual_seed(run.recipe.seed)
    with (
        mirror.kept_up() if mirror and leads else contextlib.nullcontext(),
        _curves(plan.folder) if leads else contextlib.nullcontext() as scalars,
    ):
        runtime = Runtime(
            world=world,
            folder=plan.folder,
            report=lambda metrics, _: on_epoch(metrics),
            scalars=scalars,
        )
        if isinstance(run, PretrainRun):
            _pretrain(plan, run, corpus, runtime)
        else:
            _finetune(plan, run, corpus, runtime)
    world.barrier()


def choose_device(*, gpu: bool) -> torch.device:
    """Gives the device of a worker that trains alone.

    Raises:
        ConfigError: A GPU is asked for and there is none.
    """
    if gpu and not torch.cuda.is_available():
        hint = "`--set workers.gpu=false` trains on CPUs"
        raise ConfigError("there is no GPU that torch can use", hint=hint)
    return torch.device("cuda" if gpu else "cpu")


def _agree(plan: TrainPlan, mirror: Mirror | None, world: World, *, first: bool) -> None:
    """Makes every node see the same checkpoints before any worker looks for the newest."""
    if mirror is None:
        if not (plan.folder / RUN_NAME).exists():
            hint = "with workers on several nodes, give a shared folder or `s3://…` as --out"
            raise LocationError(f"destination is not on this node: `{plan.dest}`", hint=hint)
        return
    if world.rank == 0:
        mirror.push()  # what a worker left that was killed on this node
    world.barrier()
    if first:
        mirror.pull()
    world.barrier()


def _pretrain(plan: TrainPlan, run: PretrainRun, corpus: Corpus, runtime: Runtime) -> None:
    model = MaskedAutoencoder(run.model)
    if run.start is not None:
        start_encoder(model, run.start)
    augment = QualityAugment(run.quality) if run.augment else None
    best = pretrain(model, corpus, run.training, runtime, augment)
    if runtime.leads:
        origin = Origin(name=plan.name, command=plan.command)
        facts = training_facts(run, corpus, origin)
        save_autoencoder(runtime.folder, model, corpus.facts["faces"], facts, best)


def _finetune(plan: TrainPlan, run: FinetuneRun, corpus: Corpus, runtime: Runtime) -> None:
    detector = build_detector(run.detector, run.model)
    autoencoder: dict[str, Any] = to_mapping(detector.config).get("mae", {})
    parent = start_detector(detector, autoencoder, run.start, corpus.facts["faces"])
    origin = Origin(name=plan.name, command=plan.command, parent_sha256=parent)
    card = model_card(run, corpus, origin)
    best = finetune(detector, corpus, run.training, runtime, changes_of(run, corpus))
    if runtime.leads:
        save_bundle(runtime.folder, card, detector, best)


@contextlib.contextmanager
def _curves(folder: Path) -> Iterator[ScalarWriter]:
    """Gives the writer of TensorBoard's curves; points that are drawn anew replace the old."""
    from torch.utils.tensorboard import SummaryWriter  # imports half of tensorboard

    newest = Checkpoints(folder / CHECKPOINTS, {}).newest()
    purge_step = int(newest.name) + 1 if newest is not None else None
    with SummaryWriter(str(folder / CURVES), purge_step=purge_step) as writer:
        yield writer
