"""The corpus on each node: a local copy of what `extract` wrote, and where that came from."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from mover_ray.config import fingerprint
from mover_ray.errors import ConfigError
from mover_ray.pipelines.destination import SUCCESS_NAME
from mover_ray.provenance import sha256_bytes
from mover_ray.storage import join, storage_for
from mover_ray.training.corpus import Corpus, open_corpus
from mover_ray.training.corpus_cache import build
from mover_ray.training.world import World


def cache_folder(cache_dir: str | None) -> Path:
    """Gives the folder for local copies on this node; it need not exist."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mover-ray"


def open_local(sources: Sequence[str], cache: Path, world: World, *, first: bool) -> Corpus:
    """Gives the corpus from this node's copy; the first worker of the node makes it.

    Args:
        sources: Uris of finished destinations of `extract`.
        cache: Holds the copies.
        world: Waits meanwhile.
        first: Whether this worker is the first of its node.

    Raises:
        ConfigError: No source is named, or the sources differ in their face policies.
        MoverRayError: See `corpus_cache.build`.
    """
    if not sources:
        hint = "`--corpus DEST` of a finished `mover-ray extract`, once or more"
        raise ConfigError("no corpus is named", hint=hint)
    folder = cache / "corpora" / fingerprint({"sources": list(sources)})
    if first:
        build(sources, folder)
    world.barrier()
    return open_corpus(folder)


def manifest_sha256(sources: Sequence[str]) -> str | None:
    """Gives the hash of the manifest behind a corpus; of several, the hash of their hashes."""
    documents = [json.loads(storage_for(uri).read(join(uri, SUCCESS_NAME))) for uri in sources]
    hashes = [document.get("manifest_sha256") for document in documents]
    if None in hashes or len(hashes) == 1:
        return None if None in hashes else str(hashes[0])
    return sha256_bytes("\n".join(hashes).encode())


def dataset_names(corpus: Corpus, chosen: Sequence[str]) -> tuple[str, ...]:
    """Gives the datasets that a training sees: the chosen ones, or all of the corpus."""
    found = {name for name in corpus.column("dataset") if name}
    return tuple(sorted(found & set(chosen) if chosen else found))
