"""The videos that have a row at a destination, and what became of them."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mover_ray.pipelines.destination import Destination, attempt_of
from mover_ray.pipelines.parts import read_indexes


@dataclass(frozen=True, slots=True)
class Proved:
    """What the end of a run has proved of its parts."""

    video_ids: NDArray[np.int64]
    """Of all rows."""
    counts: Mapping[str, int]
    """Rows by status."""


class Settled:
    """Ids and statuses of the rows that count; parts are read only where that is needed.

    A finished run of a million videos has thousands of parts, and most often the proof at
    its end says all that the next start must know.
    """

    def __init__(
        self, destination: Destination, names: Sequence[str], proved: Proved | None = None
    ) -> None:
        """Names the parts that count; nothing is read yet."""
        self._destination = destination
        self._names = sorted(names, key=attempt_of)
        self._proved = proved

    def counts(self) -> dict[str, int]:
        """Gives the number of rows by status, sorted by it."""
        counts = self._proved.counts if self._proved else Counter(self._statuses.values())
        return dict(sorted(counts.items()))

    def final_ids(self, retried: Collection[str]) -> NDArray[np.int64]:
        """Gives the ids of the videos that have a row with another status than `retried`."""
        if self._proved is not None and not set(self._proved.counts) & set(retried):
            return self._proved.video_ids
        final = [video for video, status in self._statuses.items() if status not in retried]
        return np.array(final, dtype=np.int64)

    @cached_property
    def _statuses(self) -> dict[int, str]:
        """Status by video id; of a video in several parts, the latest attempt's."""
        found: dict[int, str] = {}
        for index in read_indexes(self._destination, self._names):
            found.update(zip(index.video_ids.tolist(), index.statuses.tolist(), strict=True))
        return found


def settled_by(
    destination: Destination, success: Mapping[str, Any], manifest_ids: NDArray[np.int64]
) -> Settled:
    """Gives what the document that a run ended with says, as far as it still holds.

    Args:
        destination: Where the run lies.
        success: The content of its `_SUCCESS.json`.
        manifest_ids: Of its manifest as it is now; a later start may have added some.
    """
    names = [file["name"] for file in success["files"]]
    holds = success["total"] == len(manifest_ids) and set(names) <= set(destination.part_names())
    proved = Proved(manifest_ids, success["counts"]) if holds else None
    return Settled(destination, names, proved)
