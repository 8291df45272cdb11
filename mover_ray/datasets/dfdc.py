"""The Deepfake Detection Challenge: its training parts, its test set, and its preview.

Source: Dolhansky et al., arXiv 2006.07397 (DFDC) and arXiv 1910.08854 (preview).

    dfdc_train_part_N/metadata.json     {file: {label: FAKE|REAL, split, original}}
    test/labels.csv                     filename,label with 1 for fake
    test/metadata.json                  {file: {is_fake: 0|1}}
    dataset.json                        of the preview: {path: {label, set, target_id, ...}}
"""

import csv
from collections.abc import Iterator
from typing import Any

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

_METADATA = "metadata.json"
_LABELS = "labels.csv"
_PREVIEW = "dataset.json"
_TRAIN_EXPECTED = (
    Expected(label=REAL, count=19_154, split="train"),
    Expected(label=FAKE, count=100_000, split="train"),
)
_TEST_EXPECTED = (
    Expected(label=REAL, count=2_500, split="test"),
    Expected(label=FAKE, count=2_500, split="test"),
)
_PREVIEW_EXPECTED = (
    Expected(label=REAL, count=276, split="test"),
    Expected(label=FAKE, count=501, split="test"),
    Expected(label=REAL, count=1_131 - 276, split="train"),
    Expected(label=FAKE, count=4_113 - 501, split="train"),
)


def read(tree: Tree, options: ReadOptions) -> Corpus:
    """Gives every training part and test set below the root, at any depth."""
    del options
    corpus = Corpus(dataset="dfdc", videos=[])
    listed: set[str] = set()
    sources = (*tree.names(suffixes=(f"/{_METADATA}",)), *tree.names(suffixes=(f"/{_LABELS}",)))
    top = tuple(name for name in (_METADATA, _LABELS) if tree.get(name) is not None)
    for source in (*top, *sources):
        for name, video in _described(source, tree):
            if name in listed:  # a test set that comes with both kinds of list
                continue
            listed.add(name)
            _take(name, video, tree, corpus)
    if not listed:
        raise ConfigError(
            f"no DFDC: `{tree.root}`", hint=f"its folders hold `{_METADATA}` or `{_LABELS}`"
        )
    splits = {video.split for video in corpus.videos}
    for split, expected in (("train", _TRAIN_EXPECTED), ("test", _TEST_EXPECTED)):
        corpus.expected += expected if split in splits else ()
    corpus.unlisted = [name for name in tree.names() if name not in listed]
    return corpus


def read_preview(tree: Tree, options: ReadOptions) -> Corpus:
    """Gives DFDCP, the preview of the challenge's data."""
    del options
    if tree.get(_PREVIEW) is None:
        raise ConfigError(f"no DFDC preview: `{tree.root}`", hint=f"ROOT holds `{_PREVIEW}`")
    corpus = Corpus(dataset="dfdcp", videos=[], expected=_PREVIEW_EXPECTED)
    entries = tree.read_json(_PREVIEW, dict)
    for name, entry in entries.items():
        _take(name, _preview_facts(name, entry, tree), tree, corpus)
    corpus.unlisted = [name for name in tree.names() if name not in entries]
    return corpus


Facts = dict[str, str | None]


def _take(name: str, facts: Facts, tree: Tree, corpus: Corpus) -> None:
    info = tree.get(name)
    if info is None:
        corpus.missing.append(name)
    else:
        corpus.videos.append(CorpusVideo(info=info, **facts))  # type: ignore[arg-type]


def _described(source: str, tree: Tree) -> Iterator[tuple[str, Facts]]:
    """Gives the videos that a list names, with what it says of them."""
    folder = source.rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    if source.endswith(_LABELS):
        for file, label in _read_labels(source, tree):
            yield prefix + file, _test_facts(prefix + file, fake=label)
        return
    for file, entry in tree.read_json(source, dict).items():
        yield prefix + file, _facts(prefix, file, entry, tree)


def _read_labels(source: str, tree: Tree) -> Iterator[tuple[str, bool]]:
    rows = csv.DictReader(tree.read_lines(source))
    if not {"filename", "label"} <= set(rows.fieldnames or ()):
        raise ConfigError(
            f"no columns `filename` and `label`: `{tree.uri(source)}`",
            hint="it is the list of the DFDC's test set that is expected",
        )
    for row in rows:
        if row["label"] not in ("0", "1"):
            raise ConfigError(f"label `{row['label']}` is not 0 or 1: `{tree.uri(source)}`")
        yield row["filename"], row["label"] == "1"


def _facts(prefix: str, file: str, entry: Any, tree: Tree) -> Facts:
    if isinstance(entry, dict) and entry.get("is_fake") in (0, 1):
        return _test_facts(prefix + file, fake=bool(entry["is_fake"]))
    if not isinstance(entry, dict) or entry.get("label") not in ("REAL", "FAKE"):
        raise ConfigError(f"no label of `{file}`: `{tree.uri(prefix + _METADATA)}`")
    # Lists hold a video's own folder, but an original may be named that lies in another part.
    original = entry.get("original")
    source = original or file
    facts: Facts = {
        "label": entry["label"].lower(),
        "split": entry.get("split"),
        "source_id": f"dfdc/{source}",
        "pair_uri": tree.uri(prefix + original) if original else None,
    }
    return {**facts, "method": "DFDC"} if entry["label"] == "FAKE" else facts


def _test_facts(name: str, *, fake: bool) -> Facts:
    if fake:
        return {"label": FAKE, "method": "DFDC", "split": "test"}
    return {"label": REAL, "split": "test", "source_id": f"dfdc/{name.rpartition('/')[2]}"}


def _preview_facts(name: str, entry: Any, tree: Tree) -> Facts:
    if not isinstance(entry, dict) or entry.get("label") not in (REAL, FAKE):
        raise ConfigError(f"no label of `{name}`: `{tree.uri(_PREVIEW)}`")
    people = [entry.get("target_id"), entry.get("swapped_id")]
    facts: Facts = {
        "label": entry["label"],
        "split": entry.get("set"),
        "identity": AND.join(f"dfdcp/{one}" for one in people if one is not None) or None,
    }
    return {**facts, "method": name.partition("/")[0]} if entry["label"] == FAKE else facts
