"""Pages of a result dataset in a stable order, with memory for one page and one row group."""

import base64
import functools
import json
import operator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mover_ray.pipelines.results import Results, open_results
from mover_ray.schemas import RESULT
from mover_ray.serving.problems import Problem
from mover_ray.stages.base import Row

#: A minus sign puts the highest first.
ORDERS: Final = ("-score", "score", "-scored_at", "scored_at")

_WITHOUT_MASKS: Final = [name for name in RESULT.names if name != "masks"]
_NOTHING: Final = np.zeros(0), np.zeros(0, np.int64)

#: Where each row stands in the order [N], and the id that decides between equals [N].
_Keys = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which videos, and in which order."""

    status: str | None = None
    min_score: float | None = None
    max_score: float | None = None
    scored_after: datetime | None = None
    scored_before: datetime | None = None
    order: str = "-score"
    """One of `ORDERS`; rows without a score come last."""
    limit: int = 100
    cursor: str | None = None
    """As the page before gave it."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, without their masks."""

    rows: list[Row]
    next_cursor: str | None
    """None at the end."""


def read_page(dest: str, selection: Selection) -> Page:
    """Gives one page.

    Four columns of the whole dataset are read for it, and then the rows of the page.

    Raises:
        LocationError: There are no results.
        Problem: The cursor is none of this selection.
    """
    results = open_results(dest)
    places, ids = _first_keys(results, selection)
    shown = ids[: selection.limit]
    last = (float(places[len(shown) - 1]), int(shown[-1])) if len(ids) > len(shown) else None
    return Page(
        rows=results.take(shown.tolist(), _WITHOUT_MASKS),
        next_cursor=None if last is None else _write_cursor(selection, last),
    )


def read_masks(dest: str, video_id: int) -> list[Row] | None:
    """Gives the masks of one video, PNG and all; None where there is no such video."""
    rows = open_results(dest).take([video_id], ["video_id", "masks"])
    return list(rows[0]["masks"]) if rows else None


def _first_keys(results: Results, selection: Selection) -> _Keys:
    """Gives the keys of one page and the one after it, in order."""
    after = _read_cursor(selection)
    best: _Keys = _NOTHING
    for table in results.tables(("video_id", "status", "score", "scored_at")):
        places, ids = _keys(table.filter(_filter(selection)), selection.order)
        if after is not None:
            later = (places > after[0]) | ((places == after[0]) & (ids > after[1]))
            places, ids = places[later], ids[later]
        places, ids = np.concatenate([best[0], places]), np.concatenate([best[1], ids])
        first = np.lexsort((ids, places))[: selection.limit + 1]
        best = places[first], ids[first]
    return best


def _keys(table: pa.Table, order: str) -> _Keys:
    column = table[order.lstrip("-")]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    places = column.cast(pa.float64()).to_numpy().copy()
    if order.startswith("-"):
        places = -places
    places[np.isnan(places)] = np.inf
    return places, table["video_id"].to_numpy()


def _filter(selection: Selection) -> pc.Expression:
    score, scored_at = pc.field("score"), pc.field("scored_at")
    bounds = [
        (selection.status, pc.field("status").__eq__),
        (_level(selection.min_score), score.__ge__),
        (_level(selection.max_score), score.__le__),
        (_moment(selection.scored_after), scored_at.__ge__),
        (_moment(selection.scored_before), scored_at.__lt__),
    ]
    wanted = [compare(value) for value, compare in bounds if value is not None]
    return functools.reduce(operator.and_, wanted, pc.scalar(True))  # noqa: FBT003 # neutral


def _level(score: float | None) -> pa.Scalar | None:
    """Gives a bound as precisely as scores are stored: 0.1 is not below a score of 0.1."""
    return None if score is None else pa.scalar(score, pa.float32())


def _moment(time: datetime | None) -> pa.Scalar | None:
    return None if time is None else pa.scalar(time, pa.timestamp("us", "UTC"))


def _write_cursor(selection: Selection, last: tuple[float, int]) -> str:
    text = json.dumps([selection.order, last[0] if np.isfinite(last[0]) else None, str(last[1])])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(selection: Selection) -> tuple[float, int] | None:
    if selection.cursor is None:
        return None
    try:
        order, place, video_id = json.loads(base64.urlsafe_b64decode(selection.cursor))
        if order != selection.order:
            raise ValueError(order)
        return np.inf if place is None else float(place), int(video_id)
    except (ValueError, TypeError, RecursionError):
        detail = "the cursor is not one that this service gave for this order"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_cursor", detail) from None
