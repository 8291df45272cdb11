"""Holds the masks of results against mask videos, for the protocol `localization`."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq

from mover_ray.errors import ConfigError, InputError
from mover_ray.evaluation.localization import CALLED, MaskScore
from mover_ray.evaluation.protocols import Subset
from mover_ray.evaluation.report import MaskLine
from mover_ray.evaluation.videos import Videos
from mover_ray.faces.base import Image
from mover_ray.operations.result_sets import ResultSet, read_mask_uris
from mover_ray.pipelines.destination import attempt_of
from mover_ray.stages.mask_truth import MaskTruth
from mover_ray.video.budget import VideoBudget

_COLUMNS = ["video_id", "width", "height", "masks"]
#: Rows at once: masks of a video may take a few hundred KiB.
_ROWS = 64

_logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class MaskFindings:
    """What was found out about the masks of one run."""

    scores: list[MaskScore]
    """One for each subset."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Fakes whose masks could not be judged, by the reason."""
    seen: int = 0
    """Masks in the results, judged or not."""


def mask_lines(
    results: ResultSet, videos: Videos, found: Sequence[Subset], manifest: str | None
) -> tuple[list[MaskLine], list[str]]:
    """Measures the masks of every subset; gives a line for each, and notes.

    Args:
        results: Of a model that makes masks.
        videos: Those that are evaluated.
        found: Which of them make a line.
        manifest: Where mask videos are named; the run's own manifest by default.

    Raises:
        ConfigError: The results hold no masks.
    """
    uris = read_mask_uris(results, manifest)
    findings = MaskFindings([MaskScore() for _ in found])
    with MaskTruth(VideoBudget()) as truth:
        judge = _Judge(videos, found, uris, truth, findings)
        for row in _rows(results):
            judge.add(row)
    if not findings.seen:
        hint = "score with `--masks top` or `--masks all` and a model that makes masks"
        raise ConfigError(f"the results hold no masks: `{results.name}`", hint=hint)
    lines = [
        MaskLine(results.name, one.dataset, one.part, score.as_json())
        for one, score in zip(found, findings.scores, strict=True)
    ]
    notes = [
        f"{results.name}: the masks of {count:,} fakes are not judged: {reason}"
        for reason, count in findings.left_out.most_common()
    ]
    return lines, notes


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """Puts each mask to the lines that its video belongs to."""

    videos: Videos
    found: Sequence[Subset]
    uris: Mapping[int, str]
    truth: MaskTruth
    findings: MaskFindings
    places: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        places = {one: place for place, one in enumerate(self.videos.ids.tolist())}
        object.__setattr__(self, "places", places)

    def add(self, row: Mapping[str, Any]) -> None:
        place = self.places.get(row["video_id"])
        masks = row["masks"]
        if place is None or not masks:
            return
        self.findings.seen += len(masks)
        truths = self._truths(row, masks, fake=bool(self.videos.fake[place]))
        if truths is None:
            return
        lines = [
            score
            for one, score in zip(self.found, self.findings.scores, strict=True)
            if one.chosen[place]
        ]
        for mask, manipulated in zip(masks, truths, strict=True):
            data = np.frombuffer(mask["png"], np.uint8)
            predicted = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
            for score in lines:
                score.add(manipulated >= CALLED, predicted)

    def _truths(
        self, row: Mapping[str, Any], masks: Sequence[Mapping[str, Any]], *, fake: bool
    ) -> Sequence[Image] | None:
        """Gives the truth of each mask; None where nobody knows it."""
        if not fake:
            return [np.zeros((mask["height"], mask["width"]), np.uint8) for mask in masks]
        uri = self.uris.get(row["video_id"])
        if uri is None:
            self.findings.left_out["the manifest names no mask video"] += 1
            return None
        try:
            return self.truth.read(uri, masks, (row["width"], row["height"]))
        except InputError as error:
            _logger.warning("video_id=%s: its mask: %s", row["video_id"], error)
            self.findings.left_out[f"the mask video is {error.status}"] += 1
            return None


def _rows(results: ResultSet) -> Iterator[dict[str, Any]]:
    """Gives the rows that count, a few at a time; of a video with two, the later one."""
    destination, given = results.destination, set[int]()
    for name in sorted(destination.counting_parts(), key=attempt_of, reverse=True):
        with destination.open_part(name) as file:
            for batch in pq.ParquetFile(file).iter_batches(_ROWS, columns=_COLUMNS):
                rows = [row for row in batch.to_pylist() if row["video_id"] not in given]
                given.update(row["video_id"] for row in rows)
                yield from rows
