"""The public datasets that can be read as they are laid out."""

from typing import cast

from mover_ray.config import load_named, suggest
from mover_ray.datasets.corpus import Corpus, Reader, ReadOptions, open_tree
from mover_ray.errors import ConfigError

#: Name and where its reader is.
READERS: dict[str, str] = {
    "celebdf-pp": "mover_ray.datasets.celebdf:read_pp",
    "celebdf-v1": "mover_ray.datasets.celebdf:read_v1",
    "celebdf-v2": "mover_ray.datasets.celebdf:read_v2",
    "deeperforensics": "mover_ray.datasets.deeperforensics:read",
    "dfd": "mover_ray.datasets.faceforensics:read_dfd",
    "dfdc": "mover_ray.datasets.dfdc:read",
    "dfdcp": "mover_ray.datasets.dfdc:read_preview",
    "faceforensics": "mover_ray.datasets.faceforensics:read",
    "wilddeepfake": "mover_ray.datasets.wilddeepfake:read",
}


def read_dataset(
    name: str, root: str, *, compression: str | None = None, reals: str | None = None
) -> Corpus:
    """Reads a public dataset where it lies.

    Args:
        name: Of the catalog.
        root: Its folder, on disk or in a bucket.
        compression: See `ReadOptions`.
        reals: Folder of the FaceForensics++ corpus that holds another dataset's real videos.

    Raises:
        ConfigError: The name is unknown, or the tree is not laid out as the dataset is.
        LocationError: There is no such folder.
    """
    reader = find_reader(name)
    options = ReadOptions(compression=compression, reals=open_tree(reals) if reals else None)
    return reader(open_tree(root), options)


def find_reader(name: str) -> Reader:
    """Gives the reader of a dataset.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in READERS:
        raise ConfigError(f"unknown dataset `{name}`", hint=suggest(name, READERS))
    return cast("Reader", load_named(READERS[name]))
