"""Celeb-DF, versions 1 and 2, and Celeb-DF++.

Source: Li et al., CVPR 2020 (arXiv 1909.12962); Li et al., arXiv 2507.18015 (Celeb-DF++).

    Celeb-real/idA_NNNN.mp4   YouTube-real/NNNNN.mp4   Celeb-synthesis/idA_idB_NNNN.mp4
    List_of_testing_videos.txt          lines of "1 YouTube-real/00170.mp4", where 1 is real

Celeb-DF++ sorts its fakes into folders below Celeb-synthesis, the scenario and then the method.
"""

import re

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

_LIST = "List_of_testing_videos.txt"
_REAL_FOLDERS = ("Celeb-real", "YouTube-real")
_FAKE_FOLDER = "Celeb-synthesis"
_LINE = re.compile(r"([01])\s+(\S.*)")
_SWAP = re.compile(r"(id\d+)_(id\d+)_(\d+)")
_OWN = re.compile(r"(id\d+)_(\d+)")
_LISTED_LABELS = {"1": REAL, "0": FAKE}

#: Counts of test videos are those of the published lists.
_EXPECTED = {
    "celebdf-v1": (Expected(label=REAL, count=408), Expected(label=FAKE, count=795)),
    "celebdf-v2": (
        Expected(label=REAL, count=178, split="test"),
        Expected(label=FAKE, count=340, split="test"),
        Expected(label=REAL, count=590 + 300 - 178, split="train"),
        Expected(label=FAKE, count=5639 - 340, split="train"),
    ),
    "celebdf-pp": (),
}


def read_v1(tree: Tree, options: ReadOptions) -> Corpus:
    """Gives Celeb-DF-v1."""
    del options
    return _read(tree, "celebdf-v1")


def read_v2(tree: Tree, options: ReadOptions) -> Corpus:
    """Gives Celeb-DF-v2."""
    del options
    return _read(tree, "celebdf-v2")


def read_pp(tree: Tree, options: ReadOptions) -> Corpus:
    """Gives Celeb-DF++."""
    del options
    return _read(tree, "celebdf-pp")


def _read(tree: Tree, dataset: str) -> Corpus:
    folders = (*_REAL_FOLDERS, _FAKE_FOLDER)
    names = [name for folder in folders for name in tree.names(f"{folder}/")]
    if not names:
        raise ConfigError(
            f"no Celeb-DF: `{tree.root}`", hint="ROOT holds `Celeb-real` and `Celeb-synthesis`"
        )
    listed = _read_list(tree)
    corpus = Corpus(dataset=dataset, videos=[], expected=_EXPECTED[dataset])
    corpus.missing = sorted(listed.keys() - set(names))
    if not listed:
        corpus.remarks.append(f"no splits: `{_LIST}` is absent")
    for name in names:
        split = None if not listed else "test" if name in listed else "train"
        corpus.videos.append(_video(name, listed.get(name), split, tree))
    return corpus


def _read_list(tree: Tree) -> dict[str, str]:
    """Gives the label of each test video."""
    if tree.get(_LIST) is None:
        return {}
    labels = {}
    for number, line in enumerate(tree.read_lines(_LIST), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(
                f"not a line of a Celeb-DF list: `{tree.uri(_LIST)}`, line {number}",
                hint="a line is 1 (real) or 0 (fake), a space and a name",
            )
        labels[match[2]] = _LISTED_LABELS[match[1]]
    return labels


def _video(name: str, listed_label: str | None, split: str | None, tree: Tree) -> CorpusVideo:
    folder, *between, file = name.split("/")
    label = REAL if folder in _REAL_FOLDERS else FAKE
    if listed_label not in (None, label):
        raise ConfigError(
            f"listed as {listed_label}, but lies in `{folder}`: `{tree.uri(name)}`",
            hint=f"`{_LIST}` belongs to another version of the dataset",
        )
    stem = file.rpartition(".")[0]
    info = tree.info(name)
    if label == REAL:
        own = _OWN.fullmatch(stem)
        identity = f"celeb/{own[1]}" if own else f"{folder}/{stem}"
        source = f"{folder}/{stem}"
        return CorpusVideo(info=info, label=REAL, split=split, identity=identity, source_id=source)
    method = "/".join(between) or "Celeb-DF"
    swap = _SWAP.fullmatch(stem)
    if swap is None:
        return CorpusVideo(info=info, label=FAKE, method=method, split=split)
    target, donor, number = swap.groups()
    original = f"Celeb-real/{target}_{number}"
    return CorpusVideo(
        info=info,
        label=FAKE,
        method=method,
        split=split,
        identity=f"celeb/{target}{AND}celeb/{donor}",
        source_id=original,
        pair_uri=tree.uri(f"{original}.mp4"),
    )
