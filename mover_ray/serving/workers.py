"""The two kinds of work, each in a thread of its own, whoever hosts them."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from mover_ray.serving.served_models import ModelRef, StageCache, Stages, score_together
from mover_ray.serving.videos import Video, manifest_row, own_words
from mover_ray.stages.base import Row, Stage

T = TypeVar("T")

#: What a request may ask of masks; each is a stage of its own over the same weights.
MASKS: Final = ("none", "top", "all")

#: Models that a process keeps loaded.
MODELS_KEPT: Final = 3


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """One video on its way from the first stage to the second."""

    row: Row
    """Of the first stage."""
    model: ModelRef
    masks: str
    """One of `MASKS`."""
    run_id: str
    """Stands in the result."""

    @property
    def faces(self) -> int:
        """What it costs to score it."""
        return sum(crop["pixels"] is not None for crop in self.row["crops"])


class _Worker:
    """A thread that builds stages and keeps the last ones."""

    def __init__(self, name: str, stages_kept: int) -> None:
        self._cache = StageCache(stages_kept)
        self._thread = ThreadPoolExecutor(1, name)

    async def close(self) -> None:
        """Closes every stage and ends the thread."""
        await self._run(self._cache.close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _stage(self, key: str, build: Callable[[], tuple[Stage, Row]]) -> tuple[Stage, Row]:
        found = self._cache.get(key)
        if found is None:
            found = build()
            self._cache.put(key, *found)
        return found


class DecodeWorker(_Worker):
    """Fetches, decodes and finds faces: one video after the other.

    The thread is always the same, because a decoder's process ends with the thread that
    started it.
    """

    def __init__(self, stages: Stages) -> None:
        """Takes what builds the first stage of each model that is asked for."""
        super().__init__("decode", MODELS_KEPT)
        self._stages = stages

    async def load(self, model: ModelRef) -> None:
        """Has the stage of a model ready."""
        await self._run(lambda: self._stage_of(model))

    async def find_faces(self, video: Video, model: ModelRef) -> Row:
        """Gives the first stage's row of a video."""
        return await self._run(lambda: self._find_faces(video, model))

    def _find_faces(self, video: Video, model: ModelRef) -> Row:
        stage = self._stage_of(model)
        with manifest_row(video) as row:
            return own_words(stage(row), video)

    def _stage_of(self, model: ModelRef) -> Stage:
        return self._stage(model.key, lambda: (self._stages.find_faces(model), {}))[0]


class ScoreWorker(_Worker):
    """Scores the faces of one or more videos at a time."""

    def __init__(self, stages: Stages) -> None:
        """Takes what builds the second stage of each model that is asked for."""
        super().__init__("score", MODELS_KEPT * len(MASKS))
        self._stages = stages

    async def load(self, model: ModelRef) -> None:
        """Has a model ready, whatever masks will be asked for."""
        await self._run(lambda: [self._scorer(model, masks) for masks in MASKS])

    async def check_device(self) -> None:
        """Raises if there was a GPU and it does not answer; does not wait for scorings."""
        await asyncio.to_thread(_check_gpu)

    async def score(self, requests: Sequence[ScoreRequest]) -> list[Row]:
        """Gives the result of each request; those that want the same are scored together."""
        return await self._run(lambda: self._score(requests))

    def _score(self, requests: Sequence[ScoreRequest]) -> list[Row]:
        groups: dict[tuple[ModelRef, str], list[int]] = defaultdict(list)
        for position, request in enumerate(requests):
            groups[request.model, request.masks].append(position)
        results: dict[int, Row] = {}
        for (model, masks), positions in groups.items():
            stage, stamp = self._scorer(model, masks)
            rows = score_together(stage, [requests[position].row for position in positions])
            for position, row in zip(positions, rows, strict=True):
                run_id = requests[position].run_id
                results[position] = {**row, **stamp, "run_id": run_id, "crops": None}
        return [results[position] for position in range(len(requests))]

    def _scorer(self, model: ModelRef, masks: str) -> tuple[Stage, Row]:
        return self._stage(f"{masks}:{model.key}", lambda: self._stages.scorer(model, masks))


def _check_gpu() -> None:
    import torch  # the stages have imported it

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.mem_get_info()
