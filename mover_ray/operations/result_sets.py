"""Reads results with the truth about their videos, no column more than is needed."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mover_ray.datasets import manifest as manifests
from mover_ray.errors import ConfigError, LocationError, StorageError
from mover_ray.evaluation.ranking import Doubles, Ints
from mover_ray.evaluation.videos import MANIFEST_COLUMNS, RESULT_COLUMNS, Videos, Words
from mover_ray.pipelines.destination import Destination, attempt_of
from mover_ray.pipelines.parts import read_table
from mover_ray.storage import join, normalise, storage_for

_FRAME_INDEX = "faces.list.element.frames.list.element.frame_index"
_FRAME_SCORE = "faces.list.element.frames.list.element.score"


@dataclass(frozen=True, slots=True, eq=False)
class ResultSet:
    """The results of one model on one archive."""

    name: str
    """What the tables call it."""
    destination: Destination
    model_sha256: str
    """Of the bundle that scored."""
    trained: bool
    """False for random weights."""
    finished: bool
    """Whether the run was proved complete."""
    table: pa.Table
    """Every row: `RESULT_COLUMNS` and `MANIFEST_COLUMNS`."""

    @property
    def known(self) -> pa.Table:
        """The rows whose truth is known."""
        return self.table.filter(pc.is_valid(self.table["label"]))

    @property
    def videos(self) -> Videos:
        """The videos whose truth is known."""
        return Videos.from_table(self.known)

    @property
    def unlabelled(self) -> int:
        """How many videos have no label."""
        return int(self.table["label"].null_count)


def read_result_set(argument: str, manifest: str | None = None) -> ResultSet:
    """Reads the results of one run.

    Args:
        argument: `DEST` or `NAME=DEST`; the name is that of the folder by default.
        manifest: Where labels come from; the run's own manifest by default.

    Raises:
        LocationError: There is no run of `score`.
    """
    name, equals, dest = argument.partition("=")
    base = normalise(dest if equals else argument)
    destination = Destination(base, "results")
    try:
        last, success = destination.last_attempt(), destination.success()
    except StorageError as error:
        raise LocationError(f"the results cannot be read: `{base}`: {error}") from error
    if last is None or last["identity"].get("command") != "score":
        raise LocationError(
            f"no results at: `{base}`", hint="name the folder that was given to `score` as --out"
        )
    rows = _read_rows(destination, RESULT_COLUMNS)
    truth = read_truth(normalise(manifest) if manifest else join(base, manifests.FILE_NAME))
    return ResultSet(
        name=name if equals else PurePosixPath(base).name,
        destination=destination,
        model_sha256=str(last["identity"]["model"]),
        trained=success is None or bool(success["model"]["trained"]),
        finished=success is not None,
        table=_join(rows, truth),
    )


def read_truth(uri: str) -> pa.Table:
    """Reads what a manifest says of the truth: `MANIFEST_COLUMNS` alone.

    Raises:
        ConfigError: It is no manifest.
        LocationError: It cannot be read.
    """
    return _read_manifest(uri, MANIFEST_COLUMNS)


def read_mask_uris(results: ResultSet, manifest: str | None) -> dict[int, str]:
    """Gives the mask video of each video that has one, by `video_id`.

    Args:
        results: Of one run.
        manifest: Where mask videos are named; the run's own manifest by default.

    Raises:
        ConfigError: It is no manifest.
        LocationError: It cannot be read.
    """
    uri = normalise(manifest) if manifest else join(results.destination.base, manifests.FILE_NAME)
    rows = _read_manifest(uri, ("video_id", "mask_uri"))
    named = rows.filter(pc.is_valid(rows["mask_uri"]))
    return dict(zip(named["video_id"].to_pylist(), named["mask_uri"].to_pylist(), strict=True))


def _read_manifest(uri: str, columns: Sequence[str]) -> pa.Table:
    try:
        content = storage_for(uri).read(uri)
        return pq.read_table(io.BytesIO(content), columns=list(columns))
    except StorageError as error:
        raise LocationError(f"the manifest cannot be read: {error}") from error
    except pa.ArrowException as error:
        raise ConfigError(f"not a manifest: `{uri}`: {error}") from error


def check_names_differ(sets: Sequence[ResultSet]) -> None:
    """Raises `ConfigError` if a table could not tell results apart."""
    names = [one.name for one in sets]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(
            f"two results of one name: `{repeated[0]}`", hint="write NAME=RESULTS to name them"
        )


def read_frames(results: ResultSet) -> tuple[Ints, Doubles]:
    """Gives the scores of single frames, that of the most suspicious face in each.

    Returns:
        `video_id` [F] and score [F] of every frame with a score, in no order.
    """
    found = list(_frames_of_parts(results.destination))
    ids, scores = zip(*found, strict=True) if found else ((), ())
    if not ids:
        return np.zeros(0, np.int64), np.zeros(0)
    return np.concatenate(ids), np.concatenate(scores)


def file_stems(results: ResultSet, ids: Ints) -> Words:
    """Gives the file name, without folder and ending, of each video that `ids` [N] names."""
    rows = _read_rows(results.destination, ("video_id", "uri"))
    uris = dict(zip(rows["video_id"].to_pylist(), rows["uri"].to_pylist(), strict=True))
    return np.array([PurePosixPath(uris[one]).stem for one in ids.tolist()], dtype=object)


def _frames_of_parts(destination: Destination) -> Iterator[tuple[Ints, Doubles]]:
    """Gives frames a row group at a time: no more faces than that are in memory."""
    columns = ["video_id", _FRAME_INDEX, _FRAME_SCORE]
    for name in destination.counting_parts():
        with destination.open_part(name) as file:
            parquet = pq.ParquetFile(file)
            for group in range(parquet.num_row_groups):
                yield _frames_of(parquet.read_row_group(group, columns=columns))


def _frames_of(rows: pa.Table) -> tuple[Ints, Doubles]:
    frames_of_faces = pc.struct_field(pc.list_flatten(rows["faces"]), "frames")
    frames = pc.list_flatten(frames_of_faces)
    row = _owners(rows["faces"])[_owners(frames_of_faces)]
    index = pc.struct_field(frames, "frame_index").to_numpy()
    score = pc.struct_field(frames, "score").cast(pa.float64()).to_numpy()
    kept = ~np.isnan(score)
    return _highest(rows["video_id"].to_numpy()[row[kept]], index[kept], score[kept])


def _owners(lists: pa.ChunkedArray) -> Ints:
    lengths = np.nan_to_num(pc.list_value_length(lists).to_numpy()).astype(np.int64)
    return np.repeat(np.arange(len(lists)), lengths)


def _highest(ids: Ints, index: Ints, scores: Doubles) -> tuple[Ints, Doubles]:
    """Keeps the highest score of each frame of each video."""
    order = np.lexsort((-scores, index, ids))
    ids, index, scores = ids[order], index[order], scores[order]
    first = np.ones(len(ids), dtype=bool)
    first[1:] = (ids[1:] != ids[:-1]) | (index[1:] != index[:-1])
    return ids[first], scores[first]


def _read_rows(destination: Destination, columns: Sequence[str]) -> pa.Table:
    """Reads the rows that count; of a video with two, the one of the later attempt."""
    names = sorted(destination.counting_parts(), key=attempt_of)
    if not names:
        raise LocationError(
            f"there is no row yet: `{destination.base}`", hint="run `score` to its end"
        )
    rows = pa.concat_tables([read_table(destination, name, columns) for name in names])
    ids = rows["video_id"].to_numpy()
    _, from_end = np.unique(ids[::-1], return_index=True)
    if len(from_end) == len(ids):
        return rows
    return rows.take(pa.array(len(ids) - 1 - from_end))


def _join(rows: pa.Table, truth: pa.Table) -> pa.Table:
    """Puts the truth beside each row; null where the manifest does not know the video."""
    known = truth["video_id"].to_numpy()
    order = np.argsort(known)
    wanted = rows["video_id"].to_numpy()
    places = np.minimum(np.searchsorted(known, wanted, sorter=order), max(len(known) - 1, 0))
    if not len(known):
        raise ConfigError("the manifest is empty")
    at = order[places]
    indices = pa.array(at, mask=known[at] != wanted)
    for name in truth.column_names:
        if name != "video_id":
            rows = rows.append_column(name, truth[name].take(indices))
    return rows
