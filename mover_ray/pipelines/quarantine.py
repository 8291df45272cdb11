"""Videos over which workers die again and again get a row instead of another try.

The decoder's sandbox answers for what decoding does. What is left is a video that ends the
worker itself, in a native library behind the decoder or by its memory: Ray would start
another worker and give it the same video for ever.
"""

import logging
from collections import Counter
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from mover_ray.stages.base import Row, Stage, manifest_columns
from mover_ray.status import Status

#: A book that does not answer so soon is away with its node, and begins anew on another.
_ANSWER_S = 10.0

_logger = logging.getLogger(__name__)


class StrikeBook:
    """Counts, for a whole cluster, work that was begun and never ended. An actor."""

    def __init__(self) -> None:
        """Nothing was begun yet."""
        self._begun: Counter[tuple[str, int]] = Counter()

    def begin(self, stage: str, video_id: int) -> int:
        """Notes that work on a video begins; gives how often it has begun and never ended."""
        earlier = self._begun[stage, video_id]
        self._begun[stage, video_id] += 1
        return earlier

    def end(self, stage: str, video_id: int) -> None:
        """Notes that work on a video has ended, however well."""
        self._begun.pop((stage, video_id), None)


def open_book() -> Any:
    """Gives a book on the cluster that this process has joined."""
    return ray.remote(num_cpus=0, max_restarts=-1)(StrikeBook).remote()


class Guard:
    """Runs a stage on videos, those apart that have cost too many workers."""

    def __init__(self, book: Any, stage: str, most: int) -> None:
        """Names the stage; nothing is asked yet.

        Args:
            book: Of `open_book`; without an answer from it, nothing is held back.
            stage: Name of the stage.
            most: Workers that may die over one video.
        """
        self._book = book
        self._stage = stage
        self._most = most

    def run(self, stage: Stage, row: Row) -> Row:
        """Gives the stage's row; that of a quarantined video if workers have died over it."""
        deaths = self._begin(row["video_id"])
        held = deaths >= self._most
        out = self._hold(stage, row, deaths) if held else stage(row)
        self._book.end.remote(self._stage, row["video_id"])
        return out

    def _hold(self, stage: Stage, row: Row, deaths: int) -> Row:
        """Gives a row without anything that this stage, or a later one, would work on."""
        verdict = {
            "status": str(Status.QUARANTINED),
            "error": f"{deaths} workers died over it in stage `{self._stage}`",
            "crops": [],
        }
        if "status" in row:
            return stage({**row, **verdict})
        return {**manifest_columns(row), **verdict, "attempts": deaths, "flags": []}

    def _begin(self, video_id: int) -> int:
        try:
            return int(ray.get(self._book.begin.remote(self._stage, video_id), timeout=_ANSWER_S))
        except (RayError, GetTimeoutError) as error:
            _logger.info("nobody knows of earlier deaths: video_id=%d: %s", video_id, error)
            return 0
