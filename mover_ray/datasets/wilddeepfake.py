"""WildDeepfake: face sequences cut out of videos of the internet, as archives of pictures.

Source: Zi et al., ACM Multimedia 2020 (arXiv 2101.01456), and the dataset's own README (layout);
the counts are those of the release.

    {real,fake}_{train,test}/N.tar.gz       N/{real,fake}/SEQUENCE/FRAME.png

The sequence is the unit. What the release does not tell stays null: who is seen, which sequences
come from one video, and how a fake was made.
"""

import re
from collections.abc import Iterator

from mover_ray.datasets.corpus import FAKE, REAL, Corpus, CorpusVideo, Expected, ReadOptions, Tree
from mover_ray.datasets.sequences import ARCHIVE_SUFFIXES, as_sequence, list_folders
from mover_ray.errors import ConfigError, InputError

_PATH = re.compile(r"(?P<label>real|fake)_(?P<split>train|test)/[^/]+")
_METHOD = "internet"
_EXPECTED = (
    Expected(label=REAL, count=3_409, split="train"),
    Expected(label=FAKE, count=3_099, split="train"),
    Expected(label=REAL, count=396, split="test"),
    Expected(label=FAKE, count=410, split="test"),
)
# The whole release takes about as much; no archive comes near it.
_MOST_BYTES = 64 * 2**30


def read(tree: Tree, options: ReadOptions) -> Corpus:
    """Gives every sequence of every archive, whose names are read through for that."""
    del options
    archives = list(_archives(tree))
    if not archives:
        raise ConfigError(
            f"no WildDeepfake: `{tree.root}`",
            hint="ROOT holds `real_train`, `real_test`, `fake_train` and `fake_test`",
        )
    corpus = Corpus(dataset="wilddeepfake", videos=[], expected=_EXPECTED)
    for match, name in archives:
        try:
            corpus.videos += _sequences(match, name, tree)
        except InputError as error:
            corpus.remarks.append(f"left out, {error.status}: `{tree.uri(name)}`: {error}")
    corpus.remarks.append(
        "people and original videos are unknown: a part of the training sequences that is set "
        "aside may share them with the rest"
    )
    return corpus


def _archives(tree: Tree) -> Iterator[tuple[re.Match[str], str]]:
    for name in tree.names(suffixes=ARCHIVE_SUFFIXES):
        match = _PATH.fullmatch(name)
        if match is not None:
            yield match, name


def _sequences(match: re.Match[str], name: str, tree: Tree) -> Iterator[CorpusVideo]:
    info = tree.info(name)
    for folder in sorted(list_folders(info, _MOST_BYTES)):
        yield CorpusVideo(
            info=as_sequence(info, folder),
            label=match["label"],
            method=_METHOD if match["label"] == FAKE else None,
            split=match["split"],
        )
