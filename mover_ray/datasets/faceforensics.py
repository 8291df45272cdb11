"""FaceForensics++ with FaceShifter, and Google's DeepFakeDetection, which lies in the same tree.

Source: Rössler et al., ICCV 2019, and the dataset's own README (counts, layout, splits).

    original_sequences/{youtube,actors}/{raw,c23,c40}/videos/*.mp4
    manipulated_sequences/METHOD/{raw,c23,c40}/videos/*.mp4
    manipulated_sequences/METHOD/masks/videos/*.mp4
    splits/{train,val,test}.json
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mover_ray.datasets.corpus import (
    AND,
    FAKE,
    REAL,
    Corpus,
    CorpusVideo,
    Expected,
    ReadOptions,
    Tree,
)
from mover_ray.errors import ConfigError

SPLITS = ("train", "val", "test")
#: Fakes whose names are TARGET_SOURCE, the ids of two of the thousand videos.
METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
_DFD_METHOD = "DeepFakeDetection"

_PATH = re.compile(
    r"(?:original_sequences/(?P<origin>youtube|actors)|manipulated_sequences/(?P<method>[^/]+))"
    r"/(?P<compression>raw|c23|c40)/videos/(?P<stem>[^/]+)\.mp4"
)
_VIDEOS = 1000
_SPLIT_VIDEOS = {"train": 720, "val": 140, "test": 140}
_DFD_EXPECTED = (
    Expected(label=REAL, count=363),
    Expected(label=FAKE, count=3068, method=_DFD_METHOD),
)


@dataclass(frozen=True, slots=True)
class _File:
    """A video's place in the layout."""

    name: str
    stem: str
    compression: str
    method: str | None
    """Null for a real video."""


def read(tree: Tree, options: ReadOptions) -> Corpus:
    """Gives the thousand videos and their fakes, at one compression."""
    files = _files(tree, options, actors=False)
    splits = _read_splits(tree)
    corpus = Corpus(
        dataset=f"faceforensics-{files[0].compression}",
        videos=[_youtube_video(file, tree, splits) for file in files],
        expected=tuple(_expected({file.method for file in files}, splits=bool(splits))),
    )
    if not splits:
        corpus.remarks.append("no splits: `splits/train.json`, `val.json`, `test.json` are absent")
    _remark_on_fakes(corpus)
    return corpus


def read_dfd(tree: Tree, options: ReadOptions) -> Corpus:
    """Gives DeepFakeDetection, the videos with actors, at one compression."""
    files = _files(tree, options, actors=True)
    corpus = Corpus(
        dataset=f"dfd-{files[0].compression}",
        videos=[_actors_video(file, tree) for file in files],
        expected=_DFD_EXPECTED,
    )
    _remark_on_fakes(corpus)
    return corpus


def _files(tree: Tree, options: ReadOptions, *, actors: bool) -> list[_File]:
    """Gives the files of one compression of one of the two datasets."""
    files = [
        _File(name, match["stem"], match["compression"], match["method"])
        for name in tree.names()
        if (match := _PATH.fullmatch(name))
        and (match["origin"] == "actors" or match["method"] == _DFD_METHOD) == actors
    ]
    if not files:
        raise ConfigError(
            f"no video of this dataset: `{tree.root}`",
            hint="ROOT holds `original_sequences` and `manipulated_sequences`",
        )
    compression = _compression({file.compression for file in files}, options, tree.root)
    return [file for file in files if file.compression == compression]


def _compression(found: set[str], options: ReadOptions, root: str) -> str:
    there = ", ".join(f"`{one}`" for one in sorted(found))
    wanted = options.compression
    if wanted is None and len(found) > 1:
        raise ConfigError(
            f"several compressions of the same videos: {there}",
            hint="choose one with --compression",
        )
    if wanted is not None and wanted not in found:
        raise ConfigError(f"compression `{wanted}` is not there: `{root}`", hint=f"found: {there}")
    return wanted or next(iter(found))


def _read_splits(tree: Tree) -> dict[str, str]:
    """Gives the split of each of the thousand ids; empty where the lists are not there."""
    splits: dict[str, str] = {}
    for split in SPLITS:
        for name in (f"splits/{split}.json", f"{split}.json"):
            if tree.get(name) is not None:
                ids = (str(one) for pair in tree.read_json(name, list) for one in pair)
                splits |= dict.fromkeys(ids, split)
                break
    return splits


def _youtube_video(file: _File, tree: Tree, splits: dict[str, str]) -> CorpusVideo:
    info = tree.info(file.name)
    if file.method is None:
        name = f"youtube/{file.stem}"
        split = splits.get(file.stem)
        return CorpusVideo(info=info, label=REAL, split=split, identity=name, source_id=name)
    target, _, source = file.stem.partition("_")
    # A fake is in a split if both of its videos are; which of them is the target is no matter.
    both = {splits.get(target), splits.get(source)}
    return CorpusVideo(
        info=info,
        label=FAKE,
        method=file.method,
        split=both.pop() if len(both) == 1 else None,
        identity=f"youtube/{target}{AND}youtube/{source}",
        source_id=f"youtube/{target}",
        pair_uri=tree.uri(f"original_sequences/youtube/{file.compression}/videos/{target}.mp4"),
        mask_uri=_mask_uri(file, tree),
    )


def _actors_video(file: _File, tree: Tree) -> CorpusVideo:
    """Reads `TARGET__SCENE` or `TARGET_SOURCE__SCENE__HASH`."""
    info = tree.info(file.name)
    people, scene, *_ = [*file.stem.split("__"), ""]
    if file.method is None:
        name = f"actors/{file.stem}"
        return CorpusVideo(info=info, label=REAL, identity=f"actor/{people}", source_id=name)
    target, _, source = people.partition("_")
    original = f"{target}__{scene}"
    return CorpusVideo(
        info=info,
        label=FAKE,
        method=file.method,
        identity=f"actor/{target}{AND}actor/{source}",
        source_id=f"actors/{original}",
        pair_uri=tree.uri(f"original_sequences/actors/{file.compression}/videos/{original}.mp4"),
        mask_uri=_mask_uri(file, tree),
    )


def _mask_uri(file: _File, tree: Tree) -> str | None:
    return tree.uri(f"manipulated_sequences/{file.method}/masks/videos/{file.stem}.mp4")


def _expected(methods: Iterable[str | None], *, splits: bool) -> Iterator[Expected]:
    for method in sorted(methods, key=str):
        if method is not None and method not in METHODS:
            continue
        label = REAL if method is None else FAKE
        if splits:
            for split, count in _SPLIT_VIDEOS.items():
                yield Expected(label=label, count=count, method=method, split=split)
        else:
            yield Expected(label=label, count=_VIDEOS, method=method)


def _remark_on_fakes(corpus: Corpus) -> None:
    fakes = [video for video in corpus.videos if video.label == FAKE]
    bare = sum(video.mask_uri is None for video in fakes)
    if bare:
        corpus.remarks.append(f"{bare} of {len(fakes)} fakes have no mask video")
    alone = sum(video.pair_uri is None for video in fakes)
    if alone:
        corpus.remarks.append(f"{alone} of {len(fakes)} fakes have no real partner here")
