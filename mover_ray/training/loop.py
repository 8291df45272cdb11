"""The loop that every training shares: steps, checkpoints, validation, early stopping.

Everything that chance decides is a function of the seed and the position in the
training, so that a training which was killed ends as if it had not been.
"""

import contextlib
import functools
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mover_ray.config import to_mapping
from mover_ray.errors import ConfigError, DivergedError
from mover_ray.training.checkpoint import Checkpoints, Snapshot
from mover_ray.training.ema import AveragedWeights
from mover_ray.training.loading import ahead_of_time
from mover_ray.training.metrics import MetricsLog
from mover_ray.training.optim import Optimizers
from mover_ray.training.recipe import Habits, Recipe
from mover_ray.training.sampler import EpochPlan, Share
from mover_ray.training.task import SCORE, EpochData, Task
from mover_ray.training.world import Runtime, average_buffers, unsynchronized

CHECKPOINTS = "checkpoints"
METRICS_NAME = "metrics.jsonl"
PICTURES = "pictures"

_logger = logging.getLogger(__name__)


def train(task: Task, recipe: Recipe, habits: Habits, runtime: Runtime) -> Path:
    """Trains to the end, from the newest checkpoint where there is one.

    Args:
        task: What is trained.
        recipe: How; with `task.config` it says whether a checkpoint fits.
        habits: What a resumption may change.
        runtime: Where.

    Returns:
        The checkpoint with the best validation; its group `ema` holds averaged weights
        where the recipe asks for them. On a rank that does not lead, whose node may hold
        no checkpoint, their folder.

    Raises:
        DivergedError: The loss is not finite.
        ArtifactError: The newest checkpoint does not fit.
        LocationError: The disk is full; earlier checkpoints are whole.
        ConfigError: There is nothing to train on, or more ranks than units of a batch.
    """
    if runtime.world.size > recipe.batch_size:
        raise ConfigError(
            f"batch_size is smaller than the number of workers: `{recipe.batch_size}` for "
            f"{runtime.world.size}"
        )
    with ThreadPoolExecutor(habits.threads, thread_name_prefix="crops") as threads:
        try:
            return _Training(task, recipe, habits, runtime, threads).run()
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


@dataclass(slots=True)
class _Progress:
    """Where a training stands: JSON values alone."""

    epoch: int = 0
    step: int = 0
    """Steps of this epoch that are done."""
    steps: int = 0
    """Steps of all epochs that are done."""
    sums: dict[str, float] = field(default_factory=dict)
    """Terms of the loss, added up over the steps of this epoch and averaged over ranks."""
    best_score: float | None = None
    best_epoch: int = 0

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class _Training:
    def __init__(
        self, task: Task, recipe: Recipe, habits: Habits, runtime: Runtime, threads: Executor
    ) -> None:
        self._task, self._recipe, self._habits = task, recipe, habits
        self._runtime, self._world, self._threads = runtime, runtime.world, threads
        task.step.to(self._world.device)
        if habits.compile:
            task.step.compile()
        self._module = self._world.wrap(task.step)
        self._optimizers = Optimizers(task.model, task.optimizers)
        self._ema = AveragedWeights(task.model, recipe.ema_decay) if recipe.ema_decay else None
        identity = {"recipe": to_mapping(recipe), **task.config}
        self._checkpoints = Checkpoints(runtime.folder / CHECKPOINTS, identity, habits.keep)
        self._log = MetricsLog(runtime.folder / METRICS_NAME, runtime.scalars)
        self._progress = _Progress()
        self._since: dict[str, Tensor] = {}

    def run(self) -> Path:
        self._resume()
        while self._progress.epoch < self._recipe.epochs and not self._out_of_patience():
            self._run_epoch()
        best = self._checkpoints.best()
        if best is None and self._runtime.leads:
            raise RuntimeError("a training ended without a validated checkpoint")
        return best or self._runtime.folder / CHECKPOINTS

    def _run_epoch(self) -> None:
        """Runs what is left of the present epoch, validates and writes a checkpoint."""
        progress = self._progress
        data = self._task.data(progress.epoch)
        plan = EpochPlan(len(data), self._recipe.batch_size, self._recipe.seed, progress.epoch)
        started, first = time.perf_counter(), progress.step
        for shares, batches in self._batches(data, plan, first):
            self._step(data, plan, shares, batches)
            every = self._habits.checkpoint_steps
            if every and progress.steps % every == 0 and progress.step < plan.num_steps:
                self._gather()
                self._save(None)
        elapsed_s = max(time.perf_counter() - started, 1e-9)
        seen = (plan.num_steps - first) * plan.num_units / plan.num_steps
        self._gather()
        self._finish_epoch(plan, {"units_per_s": seen / elapsed_s})

    def _batches(
        self, data: EpochData, plan: EpochPlan, first: int
    ) -> Iterator[tuple[list[Share], Iterator[Any]]]:
        """Gives the shares of each step from `first` on, with their batches as they come."""
        world, micro = self._world, self._habits.micro_batch
        by_step = [
            plan.shares(step, world.rank, world.size, micro)
            for step in range(first, plan.num_steps)
        ]
        starts = (
            functools.partial(data.load, plan, share, self._threads)
            for shares in by_step
            for share in shares
        )
        batches = ahead_of_time(starts, self._habits.ahead)
        for shares in by_step:
            yield shares, (next(batches) for _ in shares)

    def _step(
        self, data: EpochData, plan: EpochPlan, shares: Sequence[Share], batches: Iterator[Any]
    ) -> None:
        progress, recipe = self._progress, self._recipe
        torch.manual_seed(_derived(recipe.seed, plan.epoch, progress.step, self._world.rank))
        self._task.step.train()
        done = (plan.epoch + progress.step / plan.num_steps) / recipe.epochs
        self._optimizers.set_progress(done)
        terms = self._accumulate(shares, batches)
        norm = float(self._optimizers.clip(recipe.clip_norm))
        if not math.isfinite(norm):
            raise self._diverged(data, plan, shares, terms)
        self._optimizers.step()
        if self._ema is not None:
            self._ema.update()
        for name, value in terms.items():
            self._since[name] = self._since.get(name, 0.0) + value
        progress.step += 1
        progress.steps += 1
        if progress.steps % self._habits.log_steps == 0:
            self._log_step(terms, norm)

    def _accumulate(self, shares: Sequence[Share], batches: Iterator[Any]) -> dict[str, Tensor]:
        """Runs forward and backward over all shares; gives this rank's terms of the loss."""
        totals: dict[str, Tensor] = {}
        for number, (share, batch) in enumerate(zip(shares, batches, strict=True), start=1):
            last = number == len(shares)
            with contextlib.nullcontext() if last else unsynchronized(self._module):
                with self._autocast():
                    terms = self._module(batch.to(self._world.device))
                loss = torch.stack(list(terms.values())).sum()
                torch.autograd.backward(loss * share.weight)
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + value.detach().float() * share.weight
        return totals

    def _finish_epoch(self, plan: EpochPlan, speed: Mapping[str, float]) -> None:
        progress = self._progress
        average_buffers(self._task.model, self._world)
        metrics = {name: total / plan.num_steps for name, total in progress.sums.items()}
        with self._best_weights():
            metrics |= self._validate()
            if self._runtime.leads:
                pictures = self._runtime.folder / PICTURES
                pictures.mkdir(parents=True, exist_ok=True)
                self._task.illustrate(pictures / f"epoch-{progress.epoch:04d}")
        score = metrics[SCORE]
        if progress.best_score is None or score > progress.best_score:
            progress.best_score, progress.best_epoch = score, progress.epoch
        metrics = {"epoch": progress.epoch, **metrics, **speed}
        progress.epoch, progress.step, progress.sums = progress.epoch + 1, 0, {}
        if self._runtime.leads:
            # Before the checkpoint: what a kill leaves too early, a resumption drops.
            self._log.write("epoch", progress.steps, metrics)
            _logger.info("epoch %d: %s", metrics["epoch"], _as_text(metrics))
        path = self._save(score)
        self._runtime.report(metrics, path)

    def _validate(self) -> dict[str, float]:
        self._task.step.eval()
        with torch.no_grad(), self._autocast():
            metrics = dict(self._task.validate(self._threads))
        if not math.isfinite(metrics[SCORE]):
            raise DivergedError(f"validation is not finite after step {self._progress.steps}")
        return metrics

    def _best_weights(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._ema is None else self._ema.applied()

    def _autocast(self) -> torch.autocast:
        enabled = self._recipe.precision == "bfloat16"
        return torch.autocast(self._world.device.type, torch.bfloat16, enabled=enabled)

    def _gather(self) -> None:
        """Adds the terms of the steps since the last time, averaged over the ranks."""
        for name, value in self._since.items():
            total = float(self._world.sum(value)) / self._world.size
            self._progress.sums[name] = self._progress.sums.get(name, 0.0) + total
        self._since = {}

    def _save(self, score: float | None) -> Path | None:
        """Writes a checkpoint on rank 0; gives its path there."""
        average_buffers(self._task.model, self._world)
        path = None
        if self._runtime.leads:
            tensors = {
                "model": self._task.model.state_dict(),
                "optimizer": self._optimizers.state(),
            }
            if self._ema is not None:
                tensors["ema"] = self._ema.state()
            progress = self._progress
            path = self._checkpoints.save(
                Snapshot(
                    steps=progress.steps,
                    tensors=tensors,
                    progress=progress.as_json(),
                    score=score,
                )
            )
        self._world.barrier()
        return path

    def _resume(self) -> None:
        if self._runtime.leads:
            self._checkpoints.clean()
        newest = self._checkpoints.newest()
        if newest is not None:
            snapshot = self._checkpoints.load(newest)
            self._task.model.load_state_dict(snapshot.tensors["model"])
            self._optimizers.restore(snapshot.tensors["optimizer"])
            if self._ema is not None:
                self._ema.restore(snapshot.tensors["ema"])
            self._progress = _Progress(**snapshot.progress)
            _logger.info("resumed after step %d: `%s`", snapshot.steps, newest)
        if self._runtime.leads:
            self._log.rewind(self._progress.steps)
        self._world.barrier()

    def _out_of_patience(self) -> bool:
        idle = self._progress.epoch - 1 - self._progress.best_epoch
        return bool(0 < self._recipe.patience <= idle)

    def _log_step(self, terms: Mapping[str, Tensor], norm: float) -> None:
        values = {
            name: float(self._world.sum(value)) / self._world.size for name, value in terms.items()
        }
        if self._runtime.leads:
            progress = self._progress
            place = {"epoch": progress.epoch, "step": progress.step}
            shown = {**place, **values, "lr": self._optimizers.lr, "grad_norm": norm}
            self._log.write("step", progress.steps, shown)

    def _diverged(
        self,
        data: EpochData,
        plan: EpochPlan,
        shares: Sequence[Share],
        terms: Mapping[str, Tensor],
    ) -> DivergedError:
        bad = [name for name, value in terms.items() if not value.isfinite()]
        what = f"the loss `{bad[0]}`" if bad else "the gradient"
        names = [name for share in shares for name in data.names(plan, share)]
        newest = self._checkpoints.newest()
        return DivergedError(
            f"{what} is not finite in step {self._progress.step} of epoch {plan.epoch} "
            f"(step {self._progress.steps} of all), rank {self._world.rank}, "
            f"with {', '.join(f'`{name}`' for name in names)}",
            hint=f"the last checkpoint is {newest}; lower the learning rate or set clip_norm, "
            "and begin in another folder",
        )


def _derived(*key: int) -> int:
    """Gives a seed for torch that is a function of the key."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def _as_text(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:.4g}" for name, value in metrics.items())
