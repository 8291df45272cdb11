"""`results export`: rows as other programs read them, a row group in memory at a time."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import pyarrow as pa
import pyarrow.compute as pc

from mover_ray.config import check_choice, check_range
from mover_ray.errors import ConfigError, LocationError
from mover_ray.operations.json_values import plain, without_pictures
from mover_ray.operations.results_fiftyone import write_fiftyone
from mover_ray.operations.results_label_studio import TASK_COLUMNS, task
from mover_ray.pipelines.results import SCALARS, Results, Row, open_results
from mover_ray.schemas import RESULT

FORMATS: Final = ("csv", "jsonl", "masks", "label-studio", "fiftyone")

_MASK_INDEX = ("file", "video_id", "uri", "track_id", "frame_index", "time_s", "kind", "box")
# A cell that begins so is a formula to a spreadsheet program.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOptions:
    """What `results export` was asked to do."""

    results: str
    """Destination of `score`."""
    out: Path
    """File or, for `masks` and `fiftyone`, folder to make."""
    format: str = "csv"
    """One of `FORMATS`."""
    min_score: float | None = None
    """Only videos with at least this score; None takes those without a score, too."""
    base_url: str | None = None
    """For `label-studio`: what stands before each video's file name in its address."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_choice(self, "format", FORMATS)
        if self.min_score is not None:
            check_range(self, "min_score", 0.0, 1.0)
        if self.out.exists():
            raise ConfigError(
                f"the destination exists: `{self.out}`", hint="name a new one with --out"
            )


def export(options: ExportOptions) -> int:
    """Writes a run's rows in another format; gives how many videos were written.

    Raises:
        LocationError: There are no results, or `out` cannot be written.
    """
    results = open_results(options.results)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        return _WRITERS[options.format](results, options)
    except OSError as error:
        raise LocationError(f"cannot be written: `{options.out}`: {error}") from error


def _write_csv(results: Results, options: ExportOptions) -> int:
    with _new_file(options.out) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SCALARS)
        count = 0
        for row in _rows(results, SCALARS, options.min_score):
            writer.writerow([_cell(plain(row[name], name)) for name in SCALARS])
            count += 1
    return count


def _write_jsonl(results: Results, options: ExportOptions) -> int:
    with _new_file(options.out) as file:
        count = 0
        for row in _rows(results, RESULT.names, options.min_score):
            document = plain({**row, "masks": without_pictures(row["masks"])})
            file.write(json.dumps(document, ensure_ascii=False) + "\n")
            count += 1
    return count


def _write_masks(results: Results, options: ExportOptions) -> int:
    """Writes `VIDEO_ID/TRACK-FRAME.png`, and `masks.csv`, which says what each one is."""
    options.out.mkdir()
    count = 0
    with _new_file(options.out / "masks.csv") as file:
        index = csv.writer(file, lineterminator="\n")
        index.writerow(_MASK_INDEX)
        for row in _rows(results, ("video_id", "uri", "score", "masks"), options.min_score):
            folder = options.out / str(row["video_id"])
            for mask in row["masks"]:
                folder.mkdir(exist_ok=True)
                name = f"{mask['track_id']}-{mask['frame_index']}.png"
                (folder / name).write_bytes(mask["png"])
                said = {**row, **mask, "file": f"{folder.name}/{name}"}
                index.writerow([_cell(plain(said[key], key)) for key in _MASK_INDEX])
            count += bool(row["masks"])
    return count


def _write_label_studio(results: Results, options: ExportOptions) -> int:
    """Writes one JSON list, a task at a time."""
    count = 0
    with _new_file(options.out) as file:
        file.write("[")
        for row in _rows(results, TASK_COLUMNS, options.min_score):
            file.write(",\n" if count else "\n")
            json.dump(task(row, options.base_url), file, ensure_ascii=False)
            count += 1
        file.write("\n]\n")
    return count


def _write_fiftyone(results: Results, options: ExportOptions) -> int:
    rows = _rows(results, TASK_COLUMNS, options.min_score)
    return write_fiftyone(rows, options.out)


_WRITERS: Final[dict[str, Callable[[Results, ExportOptions], int]]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "masks": _write_masks,
    "label-studio": _write_label_studio,
    "fiftyone": _write_fiftyone,
}


def _rows(results: Results, columns: Sequence[str], min_score: float | None) -> Iterator[Row]:
    for table in results.tables(columns):
        yield from _at_least(table, min_score).to_pylist()


def _at_least(table: pa.Table, min_score: float | None) -> pa.Table:
    return table if min_score is None else table.filter(pc.field("score") >= min_score)


def _cell(value: Any) -> Any:
    """Gives a value as a cell that no spreadsheet takes for a formula."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _new_file(path: Path) -> TextIO:
    return io.TextIOWrapper(path.open("xb"), encoding="utf-8", newline="")
