"""Builds the corpus from what `extract` wrote, file by file in bounded memory."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mover_ray.config import fingerprint
from mover_ray.errors import ArtifactError, ConfigError, LocationError, StorageError
from mover_ray.provenance import dump_json, sha256_bytes
from mover_ray.status import Status
from mover_ray.storage import join, storage_for
from mover_ray.training.corpus import (
    CROP,
    CROPS_NAME,
    FACTS_NAME,
    INDEX_NAME,
    VIDEO_COLUMNS,
    VIDEOS_NAME,
    Corpus,
    open_corpus,
    read_facts,
)

_FOLDER = "crops"
_SUCCESS_NAME = "_SUCCESS.json"
_FACES_KEY = b"mover_ray.faces"
#: Fields of a face policy that say which faces become crops, not how a crop is made. They
#: may differ between the sources of a corpus: a photograph has a face in one frame only.
_CHOICE = (
    "eligible_frames",
    "eligible_face_px",
    "eligible_score",
    "max_faces",
    "max_crops",
    "track_iou",
)
#: Rows at once: a video of 32 crops of 224 px has about a MiB.
_ROWS = 64


def build(sources: Sequence[str], folder: Path) -> Corpus:
    """Gives the corpus of one or more outputs of `extract`; builds it where it is not there.

    Processes that build the same corpus at once do no harm: the first to finish wins.

    Args:
        sources: Uris of finished destinations of `extract`.
        folder: Where the cache is, or will appear whole.

    Raises:
        LocationError: A source is not there or not finished, or the disk is full.
        ConfigError: The sources were cropped by different face policies.
        ArtifactError: A file differs from what its `_SUCCESS.json` says.
    """
    records = {uri: _read_success(uri) for uri in sources}
    wanted = fingerprint({uri: record["files"] for uri, record in records.items()})
    facts = read_facts(folder)
    if facts is not None and facts["fingerprint"] == wanted:
        return open_corpus(folder)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        draft.mkdir(parents=True)
        _write(draft, records, wanted)
        _replace(draft, folder)
    except OSError as error:
        raise LocationError(f"the corpus cannot be written: `{folder}`: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return open_corpus(folder)


def _read_success(uri: str) -> dict[str, Any]:
    name = join(uri, _SUCCESS_NAME)
    try:
        record: dict[str, Any] = json.loads(storage_for(uri).read(name))
    except StorageError as error:
        if error.status is not Status.NOT_FOUND:
            raise
        raise LocationError(
            f"no finished extract: `{uri}`", hint="run `mover-ray extract` to its end first"
        ) from error
    return record


def _write(draft: Path, records: dict[str, dict[str, Any]], wanted: str) -> None:
    with (draft / CROPS_NAME).open("wb") as data, (draft / INDEX_NAME).open("wb") as index:
        writer = _Writer(data, index)
        for uri, record in records.items():
            for part in record["files"]:
                writer.add_file(join(uri, _FOLDER, part["name"]), part["sha256"])
    pq.write_table(writer.table(), draft / VIDEOS_NAME)
    facts = {
        "sources": list(records),
        "fingerprint": wanted,
        "faces": writer.faces,
        "videos": len(writer.videos),
        "crops": writer.crops,
        "bytes": writer.bytes,
    }
    (draft / FACTS_NAME).write_text(dump_json(facts), encoding="utf-8")


def _replace(draft: Path, folder: Path) -> None:
    """Puts the draft in place; an outdated cache goes, a new one of a neighbour stays."""
    facts, own = read_facts(folder), read_facts(draft)
    if facts is not None and own is not None and facts["fingerprint"] != own["fingerprint"]:
        shutil.rmtree(folder)
    try:
        draft.rename(folder)
    except OSError:
        if read_facts(folder) != own:
            raise


@dataclass(slots=True)
class _Writer:
    """Appends the videos of one file after the other."""

    data: BinaryIO
    index: BinaryIO
    videos: list[dict[str, Any]] = field(default_factory=list)
    faces: Any = None
    crops: int = 0
    bytes: int = 0

    def add_file(self, uri: str, sha256: str) -> None:
        content = storage_for(uri).read(uri)
        if sha256_bytes(content) != sha256:
            raise ArtifactError(f"the file was altered since it was written: `{uri}`")
        file = pq.ParquetFile(pa.BufferReader(content))
        self._check_policy(uri, file.schema_arrow)
        for batch in file.iter_batches(_ROWS, columns=[*VIDEO_COLUMNS, "crops"]):
            for row in range(batch.num_rows):
                self._add_video(batch.slice(row, 1))

    def table(self) -> pa.Table:
        texts = [pa.field(name, pa.string()) for name in VIDEO_COLUMNS[1:]]
        schema = pa.schema([pa.field("video_id", pa.int64()), *texts])
        return pa.Table.from_pylist(self.videos, schema)

    def _check_policy(self, uri: str, schema: pa.Schema) -> None:
        text = (schema.metadata or {}).get(_FACES_KEY)
        if text is None:
            raise ArtifactError(f"the file does not say how its faces were cropped: `{uri}`")
        faces = json.loads(text)
        if self.faces is None:  # the first source's policy is the model's
            self.faces = faces
        if _cropping(faces) != _cropping(self.faces):
            hint = "extract all sources with the same [faces] settings"
            raise ConfigError(f"faces were cropped in another way: `{uri}`", hint=hint)

    def _add_video(self, row: pa.RecordBatch) -> None:
        """Adds a video that has crops; one without a face has nothing to teach."""
        crops = row["crops"].flatten()
        if not len(crops):
            return
        records = _records(crops, len(self.videos))
        blobs = list(_blobs(crops))
        lengths = np.array([(len(jpeg), len(mask)) for jpeg, mask in blobs])
        records["jpeg_bytes"], records["mask_bytes"] = lengths.T
        ends = self.bytes + lengths.sum(axis=1).cumsum()
        records["offset"] = ends - lengths.sum(axis=1)
        self.data.writelines(blob for pair in blobs for blob in pair)
        order = np.lexsort((records["time_s"], records["track_id"]))
        self.index.write(records[order].tobytes())
        self.bytes = int(ends[-1])
        self.crops += len(records)
        self.videos.append(row.select(VIDEO_COLUMNS).to_pylist()[0])


def _cropping(faces: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in faces.items() if name not in _CHOICE}


def _records(crops: pa.StructArray, video: int) -> Any:
    records = np.zeros(len(crops), CROP)
    records["video"] = video
    for name in ("track_id", "frame_index", "time_s", "quality"):
        records[name] = crops.field(name).to_numpy()
    points = crops.field("landmarks").flatten().flatten()
    records["landmarks"] = points.to_numpy().reshape(-1, 68, 2)
    return records


def _blobs(crops: pa.StructArray) -> Iterator[tuple[bytes, bytes]]:
    """Gives JPEG and mask of each crop; files of before masks were kept have none."""
    names = [field.name for field in crops.type]
    masks = crops.field("mask").to_pylist() if "mask" in names else [None] * len(crops)
    for jpeg, mask in zip(crops.field("jpeg").to_pylist(), masks, strict=True):
        yield jpeg, mask or b""
