"""The training corpus: crops that `extract` wrote, in a local cache of cheap random access.

The cache is a folder of four files. `crops.bin` holds every JPEG, and behind it the PNG
of the crop's mask where there is one; `index.bin` is an array of `CROP` records;
`videos.parquet` has a row a video; `corpus.json`, written last, says what it was made
from. The large files are mapped into memory, so that a corpus may be larger than it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mover_ray.errors import ArtifactError

CROPS_NAME = "crops.bin"
INDEX_NAME = "index.bin"
VIDEOS_NAME = "videos.parquet"
FACTS_NAME = "corpus.json"

#: One crop. `offset` and the lengths point into `crops.bin`; `mask_bytes` is 0 where the
#: crop has no mask. Crops of a video are neighbours, ordered by track and time.
CROP = np.dtype(
    [
        ("video", "<i4"),
        ("track_id", "<i4"),
        ("frame_index", "<i8"),
        ("time_s", "<f8"),
        ("quality", "<f4"),
        ("jpeg_bytes", "<i4"),
        ("mask_bytes", "<i4"),
        ("offset", "<i8"),
        ("landmarks", "<f4", (68, 2)),
    ]
)

#: What the corpus keeps of a video, as in `schemas.EXTRACT`.
VIDEO_COLUMNS = (
    "video_id",
    "uri",
    "label",
    "dataset",
    "method",
    "split",
    "identity",
    "source_id",
    "pair_uri",
)

REAL, FAKE, UNLABELED = 0, 1, -1
_LABELS = {"real": REAL, "fake": FAKE}

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Corpus:
    """The crops and what is known of their videos. Cheap to share between threads."""

    videos: pa.Table
    """One row a video, in the order of `CROP.video`."""
    crops: npt.NDArray[Any]
    """`CROP` records."""
    facts: Mapping[str, Any]
    """What the corpus was made from: `sources`, the face policy `faces`, `fingerprint`."""
    _bytes: npt.NDArray[np.uint8]

    def column(self, name: str) -> list[str | None]:
        """Gives a text column of the videos."""
        values: list[str | None] = self.videos[name].to_pylist()
        return values

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """`REAL`, `FAKE` or `UNLABELED` for each video."""
        return np.array([_LABELS.get(text or "", UNLABELED) for text in self.column("label")])

    def pixels(self, crop: int) -> Pixels:
        """Gives a crop: uint8 RGB [H, W, 3].

        Raises:
            ArtifactError: The cache is damaged.
        """
        record = self.crops[crop]
        return self._decode(record["offset"], record["jpeg_bytes"], cv2.IMREAD_COLOR_RGB)

    def mask(self, crop: int) -> Floats | None:
        """Gives where a crop is manipulated, [H, W] in [0, 1]; None where that is unknown."""
        record = self.crops[crop]
        if not record["mask_bytes"]:
            return None
        start = record["offset"] + record["jpeg_bytes"]
        gray = self._decode(start, record["mask_bytes"], cv2.IMREAD_GRAYSCALE)
        return gray.astype(np.float32) / np.float32(255)

    def name(self, crop: int) -> str:
        """Gives a crop's name for messages: video id, track and frame."""
        record = self.crops[crop]
        video_id = self.videos["video_id"][int(record["video"])].as_py()
        return f"{video_id}:{record['track_id']}:{record['frame_index']}"

    def _decode(self, offset: int, length: int, mode: int) -> Pixels:
        image = cv2.imdecode(self._bytes[offset : offset + length], mode)
        if image is None:
            raise ArtifactError(f"the corpus is damaged: byte {offset} of {CROPS_NAME}")
        return np.asarray(image, dtype=np.uint8)


def open_corpus(folder: Path) -> Corpus:
    """Opens the cache that `corpus_cache.build` made.

    Raises:
        ArtifactError: There is none, or it is damaged.
    """
    facts = read_facts(folder)
    if facts is None:
        raise ArtifactError(f"no corpus: `{folder}`", hint="build it from the output of extract")
    sizes = {CROPS_NAME: facts["bytes"], INDEX_NAME: facts["crops"] * CROP.itemsize}
    for name, size in sizes.items():
        if (folder / name).stat().st_size != size:
            raise ArtifactError(f"the corpus is damaged: `{folder / name}`")
    return Corpus(
        videos=pq.read_table(folder / VIDEOS_NAME),
        crops=_mapped(folder / INDEX_NAME, CROP),
        facts=facts,
        _bytes=_mapped(folder / CROPS_NAME, np.dtype(np.uint8)),
    )


def read_facts(folder: Path) -> dict[str, Any] | None:
    """Gives what a cache was made from; None where there is no whole one."""
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return facts


def _mapped(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Maps a file into memory; an empty one cannot be mapped."""
    if not path.stat().st_size:
        return np.empty(0, dtype)
    # A plain view: each element of np.memmap carries its bookkeeping along.
    return np.asarray(np.memmap(path, dtype, mode="r"))
