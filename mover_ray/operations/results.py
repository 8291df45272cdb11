"""`results top` and `results show`: what a person asks of a run first."""

from dataclasses import dataclass
from typing import Any

from mover_ray.operations.json_values import plain_rows, without_pictures
from mover_ray.pipelines.results import Row, open_results, top

#: What a line of `results top` says of a video.
TOP_COLUMNS = (
    "video_id",
    "uri",
    "score",
    "num_tracks",
    "duration_s",
    "coverage",
    "label",
    "trained",
)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The most suspicious videos of a run."""

    rows: list[dict[str, Any]]
    """`TOP_COLUMNS`, the highest score first."""
    finished: bool
    """False while videos are still missing."""


def most_suspicious(dest: str, count: int) -> Ranking:
    """Gives the videos with the highest scores.

    Args:
        dest: Destination of `score`.
        count: How many, at least 1.

    Raises:
        LocationError: There are no results.
    """
    results = open_results(dest)
    return Ranking(plain_rows(top(results, count, TOP_COLUMNS)), results.finished)


def whole_row(dest: str, video: str) -> Row:
    """Gives everything about one video, with masks described instead of their bytes.

    Args:
        dest: Destination of `score`.
        video: Its id, its uri or its file name.

    Raises:
        LocationError: There are no results, or not one video of that name.
    """
    row = open_results(dest).row(video)
    return {**row, "masks": without_pictures(row["masks"])}
