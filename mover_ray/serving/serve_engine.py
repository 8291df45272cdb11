"""The work in replicas of Ray Serve."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from mover_ray.serving.engine import BusyError, LostError, Task
from mover_ray.serving.served_models import ModelRef
from mover_ray.stages.base import Row


class ServeEngine:
    """Hands each video to a decoding and then to a scoring replica."""

    def __init__(self, decoding: DeploymentHandle[Any], scoring: DeploymentHandle[Any]) -> None:
        """Takes the ways to the replicas."""
        self._decoding = decoding
        self._scoring = scoring

    async def score(self, task: Task) -> Row:
        """Gives the result of a video.

        Raises:
            BusyError: The replicas' queues are full.
            LostError: A replica ended while it had the video.
        """
        found = self._decoding.find_faces.remote(task.video, task.model)
        scoring = self._scoring.options(multiplexed_model_id=task.model.key)
        scored = scoring.score.remote(found, task.model, task.masks, task.run_id)
        with _translated():
            try:
                row: Row = await scored
            except asyncio.CancelledError:
                found.cancel()  # type: ignore[no-untyped-call]
                scored.cancel()  # type: ignore[no-untyped-call]
                raise
        return row

    async def load(self, models: Sequence[ModelRef]) -> None:
        """Has models ready in one replica of each kind; others load them when asked."""
        with _translated():
            for model in models:
                scoring = self._scoring.options(multiplexed_model_id=model.key)
                await _both(self._decoding.load.remote(model), scoring.load.remote(model))

    async def check(self) -> None:
        """Raises `LostError` unless a replica of each kind answers."""
        with _translated():
            await _both(self._decoding.ping.remote(), self._scoring.ping.remote())

    async def close(self) -> None:
        """Serve itself ends the replicas."""


async def _both(first: Awaitable[None], second: Awaitable[None]) -> None:
    await first
    await second


@contextmanager
def _translated() -> Iterator[None]:
    """Tells faults of the cluster, after which the same request may succeed, from bugs."""
    try:
        yield
    except BackPressureError as error:
        raise BusyError from error
    except RayTaskError as error:
        if isinstance(error.cause, RayError) and not isinstance(error.cause, RayTaskError):
            raise LostError from error
        raise
    except (RayError, RayServeException) as error:
        raise LostError from error
