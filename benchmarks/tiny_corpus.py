"""A small corpus of real talking heads and forgeries of them, as training reads it.

People are split, not videos: nobody who is tested was seen in training, as target or as partner.
"""

import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mover_ray.forge.corpus import folder_of
from mover_ray.pipelines.extract import ExtractOptions, extract
from mover_ray.pipelines.forge import ForgeOptions, forge
from mover_ray.pipelines.progress import Quiet
from mover_ray.training.corpus import Corpus
from mover_ray.training.corpus_cache import build

#: Manipulations that training sees, and the one that it does not.
SEEN = ("faceswap", "deepfakes", "neuraltextures")
HELD_OUT = ("face2face",)

# Who is seen, from the file's name. All clips of a set whose speakers have no names are one person.
_PERSON = re.compile(
    r"(?:LipNet|sample-videos)(?=__)"
    r"|(?<=_)[MW]\d{3}(?=_)"
    r"|(?:_source_video|_style_clips)_video_(?P<name>.+?)(?:_clip|\.)"
)
_VIDEOS = (".mp4", ".mkv", ".mpg")


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusSize:
    """How much is forged and extracted."""

    people: int | None
    """People at most; None: all."""
    videos_each: int
    """Videos of one person at most: some have twenty, some one."""
    clip_frames: int
    """Frames of each video that are forged, from the first one with a face."""
    crops: int
    """Frames of each file that are extracted."""
    size_px: int = 64
    """Side of the crops."""
    manipulations: tuple[str, ...] = SEEN + HELD_OUT
    """What is forged of each video."""
    clips: bool = False
    """Whether the frames are clips of a second, for detectors that look at motion."""


def methods(names: tuple[str, ...]) -> tuple[str, ...]:
    """Gives manipulations as the corpus calls them."""
    return tuple(folder_of(name) for name in names)


def build_corpus(data: Path, work: Path, size: CorpusSize, seed: int) -> Corpus:
    """Forges and extracts; what an earlier start has done is not done again.

    Args:
        data: Folder with `talking`.
        work: Where everything goes.
        size: How much.
        seed: Decides who is trained on and how strong each forgery is.
    """
    work.mkdir(parents=True, exist_ok=True)
    videos = work / "videos.csv"
    _write_list(data / "talking", videos, size)
    forged, crops = work / "forged", work / "crops"
    forge(_forge_options(videos, forged, size, seed), Quiet())
    extract(_extract_options(forged / "manifest.parquet", crops, size), Quiet())
    return build([str(crops)], work / "cache")


def person_of(name: str) -> str:
    """Gives the person in a file of the talking heads."""
    found = _PERSON.search(name)
    return name if found is None else found["name"] or found[0]


def _write_list(folder: Path, path: Path, size: CorpusSize) -> None:
    paths = [one for one in sorted(folder.resolve().iterdir()) if one.suffix in _VIDEOS]
    people = list(dict.fromkeys(person_of(one.name) for one in paths))
    # Every second, third ... person: neighbours in the list come from one set.
    step = max(1, len(people) // size.people) if size.people else 1
    wanted = people[::step][: size.people]
    taken: Counter[str] = Counter()
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["uri", "label", "identity"])
        for one in paths:
            person = person_of(one.name)
            taken[person] += 1
            if person in wanted and taken[person] <= size.videos_each:
                rows.writerow([one, "real", person])


def _forge_options(videos: Path, dest: Path, size: CorpusSize, seed: int) -> ForgeOptions:
    return ForgeOptions(
        source=str(videos),
        dest=str(dest),
        engine="local",
        methods=size.manipulations,
        seed=seed,
        settings={
            "survey": {"footage": {"max_frames": size.clip_frames}},
            "split": {"val_share": 0.15, "test_share": 0.3},
            "encoder": {"preset": "veryfast"},
        },
    )


def _extract_options(manifest: Path, dest: Path, size: CorpusSize) -> ExtractOptions:
    sampling: dict[str, Any] = {"policy": "uniform", "frames": size.crops}
    if size.clips:
        sampling = {"policy": "clips", "clip_frames": size.crops, "clip_s": 1.0}
    return ExtractOptions(
        source=str(manifest),
        dest=str(dest),
        engine="local",
        settings={
            "faces": {"size_px": size.size_px},
            "sampling": sampling,
        },
    )
