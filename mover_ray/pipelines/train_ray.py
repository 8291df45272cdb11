"""The workers of a training on a Ray cluster, started anew where one of them dies.

Ray Train places the workers, connects them and replaces them. Checkpoints are our own
(`train_mirror`): a training that began alone goes on with many workers, and back.
"""

import logging
import secrets
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import ray
import torch
from ray import train as ray_train
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from mover_ray.errors import MoverRayError
from mover_ray.log import set_up_logging
from mover_ray.pipelines.ray_polling import POLL_S, polled
from mover_ray.pipelines.train_config import WorkersConfig
from mover_ray.pipelines.train_worker import OnEpoch, TrainPlan, work
from mover_ray.training.world import Distributed

_logger = logging.getLogger(__name__)


def train_on_cluster(plan: TrainPlan, on_epoch: OnEpoch) -> None:
    """Trains on the cluster that this process has joined.

    Args:
        plan: What is trained, and with how many workers.
        on_epoch: Told of each epoch's metrics, once for all workers.

    Raises:
        MoverRayError: What a user can act on ends the training at once; a worker that
            dies is replaced, up to `workers.max_failures` times.
    """
    workers = plan.run.workers
    callbacks: list[Any] = [_EndOnUserErrors()]  # Ray's types still know the old kind alone
    board = ray.remote(num_cpus=0, max_restarts=-1)(_Board).remote()
    with tempfile.TemporaryDirectory(prefix="mover-ray-") as scratch:
        trainer = TorchTrainer(
            _work,
            train_loop_config={"plan": plan, "board": board},
            torch_config=TorchConfig(backend=workers.backend, timeout_s=int(workers.timeout_s)),
            scaling_config=_scaling(workers),
            # A new name for each start: by an old one Ray would resume on its own terms.
            run_config=ray_train.RunConfig(
                name=f"train-{secrets.token_hex(4)}",
                storage_path=scratch,
                failure_config=ray_train.FailureConfig(max_failures=workers.max_failures),
                callbacks=callbacks,
            ),
        )
        with polled(board, lambda epochs: _deliver(epochs, on_epoch)):
            _fit(trainer)


def _scaling(workers: WorkersConfig) -> ray_train.ScalingConfig:
    # Ray's types do not know a range.
    count: Any = workers.count if workers.least is None else (workers.least, workers.count)
    return ray_train.ScalingConfig(
        num_workers=count,
        use_gpu=workers.gpu,
        resources_per_worker={"CPU": workers.cpus, **({"GPU": 1} if workers.gpu else {})},
    )


def _work(config: dict[str, Any]) -> None:
    """Is one worker: called by Ray Train, which has connected the processes."""
    set_up_logging(None)
    context = ray_train.get_context()
    plan: TrainPlan = config["plan"]
    has_gpu = plan.run.workers.gpu and torch.cuda.is_available()
    device = get_device() if has_gpu else torch.device("cpu")
    world = Distributed(device)

    def report(metrics: Mapping[str, float]) -> None:
        if world.rank == 0:
            config["board"].add.remote(dict(metrics))
        ray_train.report(dict(metrics))

    work(plan, world, report, first=context.get_local_rank() == 0)


class _EndOnUserErrors(ray_train.UserCallback):
    """Ends a training whose failure another start would only repeat.

    Ray Train would start the workers again whatever they raised. What a callback raises
    is an error of its controller, after which it does not.
    """

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raises the first worker's error that a user can act on."""
        del run_context
        for _, error in sorted(worker_exceptions.items()):
            cause = getattr(error, "_base_exc", error)
            if isinstance(cause, MoverRayError):
                raise cause


def _fit(trainer: TorchTrainer) -> None:
    """Waits for the training in another thread, and here for signals.

    In the main thread Ray Train would put its own handler of Ctrl-C in place of ours.
    """
    done = _in_background(trainer.fit)
    while not done.done():
        threading.Event().wait(POLL_S)
    try:
        done.result()
    except ray_train.ControllerError as error:
        if isinstance(error.controller_failure, MoverRayError):
            raise error.controller_failure from None
        raise


def _in_background(call: Callable[[], object]) -> "Future[object]":
    """Calls in a thread that does not keep the process alive."""
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 # handed over to who waits
            future.set_exception(error)

    threading.Thread(target=run, name="ray-train", daemon=True).start()
    return future


class _Board:
    """Where rank 0 leaves its metrics for the driver; nothing depends on it."""

    def __init__(self) -> None:
        self._metrics: list[dict[str, float]] = []

    def add(self, metrics: dict[str, float]) -> None:
        self._metrics.append(metrics)

    def take(self) -> list[dict[str, float]]:
        taken, self._metrics = self._metrics, []
        return taken


def _deliver(epochs: Sequence[dict[str, float]], on_epoch: OnEpoch) -> None:
    for metrics in epochs:
        on_epoch(metrics)
