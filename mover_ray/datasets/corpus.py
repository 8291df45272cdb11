"""What a reader of a public dataset works with: the corpus as it lies there, and what it found."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from mover_ray.datasets.rows import table_from_columns
from mover_ray.datasets.video_names import VIDEO_SUFFIXES
from mover_ray.errors import ConfigError, LocationError, StorageError
from mover_ray.storage import ObjectInfo, normalise, relative_name, storage_for

REAL = "real"
FAKE = "fake"

#: Joins the people of an `identity` that has several: whose body and whose face.
AND = "+"


class Tree:
    """A corpus as it lies on disk or in a bucket, listed once."""

    def __init__(self, root: str, infos: Mapping[str, ObjectInfo]) -> None:
        """Keeps a listing; use `open_tree`.

        Args:
            root: The corpus's folder.
            infos: Objects by their names below the root.
        """
        self.root = root
        self._infos = infos

    def get(self, name: str) -> ObjectInfo | None:
        """Gives the object of that name below the root, if there is one."""
        return self._infos.get(name)

    def info(self, name: str) -> ObjectInfo:
        """Gives the object of a name that `names` gave."""
        return self._infos[name]

    def uri(self, name: str) -> str | None:
        """Gives the uri of the object of that name, if there is one."""
        info = self._infos.get(name)
        return info.uri if info else None

    def names(self, prefix: str = "", suffixes: Sequence[str] = VIDEO_SUFFIXES) -> Iterator[str]:
        """Gives the names below the root that begin and end so, sorted."""
        wanted = tuple(suffixes)
        for name in self._infos:
            if name.startswith(prefix) and name.lower().endswith(wanted):
                yield name

    def read_lines(self, name: str) -> list[str]:
        """Gives the lines of a text file that are not empty.

        Raises:
            ConfigError: It is not UTF-8.
            StorageError: It cannot be read.
        """
        uri = self.info(name).uri
        try:
            text = storage_for(uri).read(uri).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(f"not UTF-8: `{uri}`") from error
        return [line.strip() for line in text.splitlines() if line.strip()]

    def read_json(self, name: str, kind: type[dict[str, Any]] | type[list[Any]]) -> Any:
        """Gives a JSON file whose outermost value is an object or an array.

        Raises:
            ConfigError: It is no such JSON.
            StorageError: It cannot be read.
        """
        uri = self.info(name).uri
        try:
            value = json.loads(storage_for(uri).read(uri))
        except ValueError as error:
            raise ConfigError(f"not JSON: `{uri}`: {error}") from error
        if not isinstance(value, kind):
            expected = "object" if kind is dict else "array"
            raise ConfigError(f"not the metadata that was expected: `{uri}`: no JSON {expected}")
        return value


def open_tree(root: str) -> Tree:
    """Lists a corpus.

    Raises:
        LocationError: There is no such folder, it may not be read, or it is empty.
    """
    uri = normalise(root)
    try:
        infos = {relative_name(info.uri, uri): info for info in storage_for(uri).list(uri)}
    except StorageError as error:
        raise LocationError(f"corpus: {error}", hint=error.hint) from error
    if not infos:
        raise LocationError(f"nothing is there: `{uri}`", hint="ROOT is the corpus's own folder")
    return Tree(uri, infos)


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusVideo:
    """One video of a corpus, with what the corpus says of it."""

    info: ObjectInfo
    label: str
    """`real` or `fake`."""
    method: str | None = None
    """How a fake was made; null for a real one."""
    split: str | None = None
    identity: str | None = None
    """Who is seen; several people are joined by `+`, the one whose face was put in last."""
    source_id: str | None = None
    """The original that a fake was made from; of a real video its own name."""
    pair_uri: str | None = None
    mask_uri: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """How many videos the public description of a corpus promises."""

    label: str
    count: int
    method: str | None = None
    """Null counts every method."""
    split: str | None = None
    """Null counts every split."""


@dataclass(kw_only=True, slots=True)
class Corpus:
    """What a reader found."""

    dataset: str
    """Name in the manifest."""
    videos: list[CorpusVideo]
    expected: tuple[Expected, ...] = ()
    missing: list[str] = field(default_factory=list)
    """Names that the metadata lists and that are not there."""
    unlisted: list[str] = field(default_factory=list)
    """Names of videos that the metadata does not know; they are left out."""
    remarks: list[str] = field(default_factory=list)
    """What else a user should know, a sentence each."""

    def table(self) -> pa.Table:
        """Gives the manifest."""
        facts = ("uri", "version_id", "etag", "size_bytes", "mtime_ns")
        said = ("label", "method", "split", "identity", "source_id", "pair_uri", "mask_uri")
        columns: dict[str, list[Any]] = {
            name: [getattr(video.info, name) for video in self.videos] for name in facts
        }
        columns |= {name: [getattr(video, name) for video in self.videos] for name in said}
        columns["dataset"] = [self.dataset] * len(self.videos)
        return table_from_columns(columns)

    def counts(self) -> list["Count"]:
        """Compares what was found with what is expected, by split, label and method."""
        found = Counter((video.split, video.label, video.method) for video in self.videos)
        rows = [Count(one, _matching(found, one)) for one in self.expected]
        known = {key for key in found if any(_matches(key, one) for one in self.expected)}
        for split, label, method in sorted(found.keys() - known, key=str):
            seen = Expected(label=label, count=0, method=method, split=split)
            rows.append(Count(seen, found[split, label, method], promised=False))
        return rows


@dataclass(frozen=True, slots=True)
class Count:
    """A line of the comparison."""

    expected: Expected
    found: int
    promised: bool = True
    """False where nothing is known of how many there should be."""

    def as_json(self) -> dict[str, Any]:
        """Gives the line as the document that `--json` prints holds it."""
        expected = asdict(self.expected)
        count = expected.pop("count")
        return {**expected, "expected": count if self.promised else None, "found": self.found}


class Reader(Protocol):
    """Reads one public dataset."""

    def __call__(self, tree: Tree, options: "ReadOptions") -> Corpus:
        """Gives the corpus at `tree`.

        Raises:
            ConfigError: It is not laid out as the dataset is, or its metadata is damaged.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """What a user may say about a corpus."""

    compression: str | None = None
    """FaceForensics++ and its kin: `raw`, `c23` or `c40`; None takes what is there, which must
    be one."""
    reals: Tree | None = None
    """DeeperForensics-1.0: the FaceForensics++ corpus that holds its real videos."""


def _matching(found: Mapping[tuple[str | None, str, str | None], int], one: Expected) -> int:
    return sum(count for key, count in found.items() if _matches(key, one))


def _matches(key: tuple[str | None, str, str | None], one: Expected) -> bool:
    split, label, method = key
    return (
        label == one.label
        and (one.method is None or one.method == method)
        and (one.split is None or one.split == split)
    )
