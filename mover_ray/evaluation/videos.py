"""Scored videos as columns: what every figure of the evaluation is computed from."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mover_ray.datasets.corpus import AND, FAKE
from mover_ray.evaluation.ranking import Bools, Doubles, Ints
from mover_ray.status import Status

Words = npt.NDArray[np.object_]

#: What `Videos.from_table` needs of the results, and of the manifest.
RESULT_COLUMNS = ("video_id", "status", "score", "logit", "num_tracks", "coverage")
MANIFEST_COLUMNS = ("video_id", "label", "dataset", "method", "split", "identity", "source_id")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Videos:
    """N videos whose truth is known. Words are empty where nothing is known."""

    ids: Ints
    """[N], `video_id`."""
    fake: Bools
    """[N], the truth."""
    scores: Doubles
    """[N], probability of manipulation; NaN where the video has no score."""
    logits: Doubles
    """[N], before calibration; NaN likewise."""
    num_tracks: Ints
    """[N], eligible tracks; 0 without a score."""
    coverage: Doubles
    """[N], share of the sampled frames with a face; NaN where no frame was sampled."""
    status: Words
    """[N], what became of the video."""
    dataset: Words
    """[N]."""
    method: Words
    """[N], how a fake was made."""
    split: Words
    """[N], `train`, `val` or `test`."""
    identity: Words
    """[N], who is seen; of several people the one whose body it is."""

    @classmethod
    def from_table(cls, rows: pa.Table) -> Self:
        """Takes the columns out of results that were joined with their manifest.

        Args:
            rows: `RESULT_COLUMNS` and `MANIFEST_COLUMNS`, no label null.
        """
        words = {name: _words(rows, name) for name in ("status", "dataset", "method", "split")}
        scored = words["status"] == str(Status.OK)
        people = [name.partition(AND)[0] for name in _words(rows, "identity")]
        return cls(
            ids=rows["video_id"].to_numpy(),
            fake=_words(rows, "label") == FAKE,
            scores=np.where(scored, _numbers(rows, "score"), np.nan),
            logits=np.where(scored, _numbers(rows, "logit"), np.nan),
            num_tracks=np.nan_to_num(_numbers(rows, "num_tracks")).astype(np.int64),
            coverage=_numbers(rows, "coverage"),
            identity=np.array(people, dtype=object),
            **words,
        )

    @classmethod
    def concatenate(cls, several: Iterable[Self]) -> Self:
        """Gives the videos of all, in order; at least one is needed."""
        parts = list(several)
        columns: dict[str, Any] = {
            item.name: np.concatenate([getattr(part, item.name) for part in parts])
            for item in fields(cls)
        }
        return cls(**columns)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def scored(self) -> Bools:
        """[N], whether the video has a score."""
        return ~np.isnan(self.scores)

    def select(self, chosen: Bools) -> "Videos":
        """Gives the videos where `chosen` [N] is True."""
        changes = {item.name: getattr(self, item.name)[chosen] for item in fields(self)}
        return replace(self, **changes)

    def of_split(self, name: str) -> "Videos":
        """Gives the videos of a split, and all those of data sets that have no splits."""
        splits = {one: set(self.split[self.dataset == one]) for one in set(self.dataset)}
        undivided = np.array([splits[one] == {""} for one in self.dataset], dtype=bool)
        return self.select((self.split == name) | undivided)

    def clusters(self) -> Ints:
        """Numbers the people [N] from 0; a video of nobody known is a cluster of its own.

        Videos of one person are no independent draws, in one data set or in several.
        """
        _, numbers = np.unique(self.identity.astype(str), return_inverse=True)
        alone = self.identity == ""
        numbers[alone] = len(self) + np.arange(alone.sum())
        return np.asarray(np.unique(numbers, return_inverse=True)[1], dtype=np.int64)


def _words(rows: pa.Table, name: str) -> Words:
    # Through a dictionary, so that equal words are one object however many rows there are.
    column = rows[name].fill_null("").cast(pa.string()).combine_chunks().dictionary_encode()
    words: Words = np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)
    return words


def _numbers(rows: pa.Table, name: str) -> Doubles:
    column = rows[name].cast(pa.float64())
    return np.asarray(column.to_numpy(), dtype=np.float64)
