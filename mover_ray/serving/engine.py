"""What the HTTP side knows of those who do the work."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mover_ray.serving.served_models import ModelRef, Stages
from mover_ray.serving.videos import Video
from mover_ray.serving.workers import DecodeWorker, ScoreRequest, ScoreWorker
from mover_ray.stages.base import Row


class BusyError(Exception):
    """Every queue is full; the same request may succeed a little later."""


class LostError(Exception):
    """Whoever worked on the request is gone; the same request may succeed."""


@dataclass(frozen=True, slots=True)
class Task:
    """One video that is to be scored."""

    video: Video
    model: ModelRef
    masks: str
    """`none`, `top` or `all`."""
    run_id: str


class Engine(Protocol):
    """Scores videos."""

    async def score(self, task: Task) -> Row:
        """Gives the result of a video; what is wrong with it stands in the row.

        Raises:
            BusyError: There is no room for the task.
            LostError: A worker ended while it had the task.
        """
        ...

    async def load(self, models: Sequence[ModelRef]) -> None:
        """Has models ready before the first request for them."""
        ...

    async def check(self) -> None:
        """Raises `LostError` unless a worker of each kind answers."""
        ...

    async def close(self) -> None:
        """Ends what the engine started."""
        ...


class LocalEngine:
    """The work in threads of this process: without Ray, for one machine and for tests."""

    def __init__(self, stages: Stages) -> None:
        """Starts two threads; models are loaded when they are asked for."""
        self._decoder = DecodeWorker(stages)
        self._scorer = ScoreWorker(stages)

    async def score(self, task: Task) -> Row:
        """Gives the result of a video."""
        row = await self._decoder.find_faces(task.video, task.model)
        request = ScoreRequest(row, task.model, task.masks, task.run_id)
        return (await self._scorer.score([request]))[0]

    async def load(self, models: Sequence[ModelRef]) -> None:
        """Has models ready."""
        for model in models:
            await asyncio.gather(self._decoder.load(model), self._scorer.load(model))

    async def check(self) -> None:
        """Threads do not end by themselves."""

    async def close(self) -> None:
        """Ends the threads and the decoder's process."""
        await asyncio.gather(self._decoder.close(), self._scorer.close())
