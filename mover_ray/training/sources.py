"""Which videos belong together: fakes with the real video that they were made from."""

import hashlib

import numpy as np
import numpy.typing as npt

from mover_ray.training.corpus import REAL, Corpus


def source_groups(corpus: Corpus) -> npt.NDArray[np.int64]:
    """Gives each video a number that it shares with the videos of its source.

    A fake belongs to the real video that `pair_uri` names, or to the one whose uri, id
    or `source_id` (within the dataset) is its own `source_id`. Fakes of a source that
    the corpus does not hold belong together.
    """
    keys = _source_keys(corpus)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.int64)


def held_out(corpus: Corpus, share: float) -> npt.NDArray[np.bool_]:
    """Says which videos validation sees: a share of the people, by a hash of their names.

    A person is the `identity` of the source's real video; without one, the source itself.
    """
    keys = _source_keys(corpus)
    identities = corpus.column("identity")
    people = {
        key: identity
        for key, identity, label in zip(keys, identities, corpus.labels, strict=True)
        if identity and label == REAL
    }
    return np.array([_fraction(people.get(key, key)) < share for key in keys], dtype=bool)


def _source_keys(corpus: Corpus) -> list[str]:
    columns = ("uri", "source_id", "pair_uri", "dataset")
    uris, source_ids, pair_uris, datasets = map(corpus.column, columns)
    video_ids = corpus.videos["video_id"].to_pylist()
    is_real = corpus.labels == REAL
    known: dict[str, str] = {}
    for video in np.flatnonzero(is_real).tolist():
        own = f"{datasets[video]}/{source_ids[video] or uris[video]}"
        known[uris[video] or ""] = known[str(video_ids[video])] = own
    keys = []
    for video, real in enumerate(is_real):
        source = source_ids[video] or uris[video] or ""
        named = uris[video] if real else pair_uris[video]
        keys.append(known.get(named or "") or known.get(source) or f"{datasets[video]}/{source}")
    return keys


def _fraction(name: str) -> float:
    """Gives a number in [0, 1) that depends on the name alone."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
