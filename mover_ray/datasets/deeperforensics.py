"""DeeperForensics-1.0, whose real videos are the targets of FaceForensics++.

Source: Jiang et al., CVPR 2020 (arXiv 2001.03024), and the dataset's own README.

    manipulated_videos/VARIANT/FFID_ACTOR.mp4
    lists/splits/{train,val,test}.txt
"""

import re

from mover_ray.datasets import faceforensics
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

_PATH = re.compile(r"manipulated_videos/(?P<variant>[^/]+)/(?P<target>\d+)_(?P<actor>[^/.]+)\.mp4")
_SPLIT_VIDEOS = {"train": 703, "val": 96, "test": 201}
_REALS_COMPRESSION = "c23"


def read(tree: Tree, options: ReadOptions) -> Corpus:
    """Gives every variant there is, and the real targets if their corpus is named."""
    found = [(match, name) for name in tree.names() if (match := _PATH.fullmatch(name))]
    if not found:
        raise ConfigError(
            f"no DeeperForensics-1.0: `{tree.root}`", hint="ROOT holds `manipulated_videos`"
        )
    splits = _read_splits(tree)
    reals = _reals(options, splits)
    by_target = {video.source_id: video for video in reals}
    variants = sorted({match["variant"] for match, _ in found})
    corpus = Corpus(dataset="deeperforensics", videos=[], expected=_expected(variants))
    for match, name in found:
        partner = by_target.get(f"youtube/{match['target']}")
        split = splits.get(name.rpartition("/")[2])
        corpus.videos.append(_fake(match, tree, name, split, partner))
    corpus.videos += reals
    there = {name.rpartition("/")[2] for _, name in found}
    corpus.missing = sorted(splits.keys() - there)
    if not reals:
        corpus.remarks.append(
            "no real videos: name the FaceForensics++ corpus that holds them with --reals"
        )
    return corpus


def _read_splits(tree: Tree) -> dict[str, str]:
    """Gives the split of each file name."""
    splits: dict[str, str] = {}
    for split in _SPLIT_VIDEOS:
        name = f"lists/splits/{split}.txt"
        if tree.get(name) is not None:
            files = (line.rpartition("/")[2] for line in tree.read_lines(name))
            splits |= dict.fromkeys(files, split)
    return splits


def _reals(options: ReadOptions, splits: dict[str, str]) -> list[CorpusVideo]:
    """Gives the targets in the FaceForensics++ corpus, in their fakes' split."""
    if options.reals is None:
        return []
    targets = {file.partition("_")[0]: split for file, split in splits.items()}
    compression = options.compression or _REALS_COMPRESSION
    corpus = faceforensics.read(options.reals, ReadOptions(compression=compression))
    reals = []
    for video in corpus.videos:
        stem = (video.source_id or "").rpartition("/")[2]
        if video.label == REAL and stem in targets:
            reals.append(
                CorpusVideo(
                    info=video.info,
                    label=REAL,
                    split=targets[stem],
                    identity=video.identity,
                    source_id=video.source_id,
                )
            )
    return reals


def _fake(
    match: re.Match[str], tree: Tree, name: str, split: str | None, partner: CorpusVideo | None
) -> CorpusVideo:
    target = f"youtube/{match['target']}"
    return CorpusVideo(
        info=tree.info(name),
        label=FAKE,
        method=match["variant"],
        split=split,
        identity=f"{target}{AND}deeper/{match['actor']}",
        source_id=target,
        pair_uri=partner.info.uri if partner else None,
    )


def _expected(variants: list[str]) -> tuple[Expected, ...]:
    return tuple(
        Expected(label=FAKE, count=count, method=variant, split=split)
        for variant in variants
        for split, count in _SPLIT_VIDEOS.items()
    )
