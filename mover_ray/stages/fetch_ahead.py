"""Fetches the next video while the present one is being decoded."""

import concurrent.futures
import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from mover_ray.datasets.sequences import split_sequence
from mover_ray.errors import LocationError
from mover_ray.stages import fetch
from mover_ray.stages.base import Row
from mover_ray.stages.fetch import FetchedVideo, ReachableVideo, fetched, reachable
from mover_ray.storage import storage_for

_Fetching: TypeAlias = concurrent.futures.Future[tuple[FetchedVideo, contextlib.ExitStack]]

#: The present video, which may still be on its way, and the next one.
_MOST = 2


@dataclass(frozen=True, slots=True)
class _Ahead:
    video_id: int
    fetching: _Fetching


class FetchAhead:
    """Fetches a small object while the video before it is being decoded.

    One video ahead, and none that would be read by ranges: those bring their bytes before
    the decoder asks, and a worker's disk need not hold two large videos.
    """

    def __init__(self, max_bytes: int) -> None:
        """Fetches nothing yet.

        Args:
            max_bytes: Larger videos are refused.
        """
        self._max_bytes = max_bytes
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "mover-ray-ahead")
        self._ahead: deque[_Ahead] = deque()

    def expect(self, row: Row) -> None:
        """Begins to fetch the video of the manifest row that comes after the present one."""
        if _is_small_object(row):
            self._ahead.append(_Ahead(row["video_id"], self._thread.submit(self._fetch, row)))
            self._forget_all_but(_MOST)

    @contextlib.contextmanager
    def reachable(self, row: Row) -> Iterator[ReachableVideo]:
        """Gives the video of a manifest row, as `reachable` does."""
        ahead = self._take(row)
        if ahead is None:
            with reachable(row, self._max_bytes) as video:
                yield video
            return
        complete, stack = ahead.result()
        with stack:
            yield ReachableVideo(complete)

    def close(self) -> None:
        """Frees what was fetched and not asked for."""
        self._forget_all_but(0)
        self._thread.shutdown()

    def _take(self, row: Row) -> _Fetching | None:
        """Gives this row's video if it is expected; that and those before it then are no more."""
        numbers = [ahead.video_id for ahead in self._ahead]
        if row["video_id"] not in numbers:
            return None
        self._forget_all_but(len(numbers) - numbers.index(row["video_id"]))
        return self._ahead.popleft().fetching

    def _fetch(self, row: Row) -> tuple[FetchedVideo, contextlib.ExitStack]:
        with contextlib.ExitStack() as stack:
            video = stack.enter_context(fetched(row, self._max_bytes))
            return video, stack.pop_all()

    def _forget_all_but(self, most: int) -> None:
        while len(self._ahead) > most:
            fetching = self._ahead.popleft().fetching
            if not fetching.cancel():
                fetching.add_done_callback(_free)


def _free(fetching: _Fetching) -> None:
    if fetching.exception() is None:
        fetching.result()[1].close()


def _is_small_object(row: Row) -> bool:
    uri, size_bytes = row["uri"], row["size_bytes"]
    is_small = size_bytes is not None and size_bytes < fetch.WHOLE_BELOW_BYTES
    if not is_small or split_sequence(uri) is not None:
        return False
    try:
        return not storage_for(uri).is_local
    except LocationError:
        return False  # said when the video is asked for
