"""Rows of Parquet as values that JSON can hold."""

import math
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import pyarrow as pa

#: Larger integers, such as ids of videos, lose digits in JavaScript and most readers of JSON.
_EXACT_IN_JSON = 2**53


def plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Gives the rows of a table, see `plain`."""
    names = table.column_names
    columns = [table.column(index).to_pylist() for index in range(len(names))]
    return [plain(dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]


def plain(value: Any, name: str = "") -> Any:
    """Gives a value of a row as JSON can hold it.

    Ids and large integers become strings, times ISO text, maps objects, bytes the text
    `<N bytes>`, and what is not finite null.

    Args:
        value: What `pyarrow` made of it.
        name: The column's or the field's name.
    """
    if isinstance(value, dict):
        return {key: plain(item, key) for key, item in value.items()}
    if isinstance(value, list):
        if value and all(_is_pair(item) for item in value):  # a map
            return {str(key): plain(item) for key, item in value}
        return [plain(item) for item in value]
    return _plain_scalar(value, name)


def _plain_scalar(value: Any, name: str) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return str(value) if name == "video_id" or abs(value) >= _EXACT_IN_JSON else value
    if isinstance(value, float):
        return _short(value) if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return str(value)


def _short(value: float) -> float:
    """Cuts off the digits that a float32 does not have."""
    return float(f"{value:.9g}")


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2


def without_pictures(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives entries of the `masks` column without their bytes."""
    return [{key: value for key, value in row.items() if key != "png"} for row in rows]
