"""Splits that cannot leak: nobody, and no original, is on both sides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mover_ray.datasets.corpus import AND
from mover_ray.errors import ConfigError

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Leak:
    """What two sets of videos share."""

    videos: tuple[int, ...]
    """Ids of videos that are in both."""
    identities: tuple[str, ...]
    """People who are seen in both."""
    sources: tuple[str, ...]
    """Originals that videos of both come from."""

    def __bool__(self) -> bool:
        return bool(self.videos or self.identities or self.sources)


def find_leak(train: pa.Table, test: pa.Table) -> Leak:
    """Gives what two manifests share; nothing is known of videos without identity or source.

    Args:
        train: With `video_id`, `identity` and `source_id`.
        test: The same.
    """
    return Leak(
        tuple(sorted(set(_values(train, "video_id")) & set(_values(test, "video_id")))),
        tuple(sorted(set(_people(train)) & set(_people(test)))),
        tuple(sorted(set(_values(train, "source_id")) & set(_values(test, "source_id")))),
    )


def check_no_leak(train: pa.Table, test: pa.Table) -> None:
    """Raises `ConfigError`, with what is shared, if two manifests share anything."""
    leak = find_leak(train, test)
    shared = (("videos", leak.videos), ("people", leak.identities), ("originals", leak.sources))
    for kind, names in shared:
        if names:
            some = ", ".join(str(name) for name in names[:_NAMED])
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            raise ConfigError(
                f"training and test share {len(names)} {kind}: {some}{more}",
                hint="a score on material that was trained on says nothing",
            )


def assign_splits(table: pa.Table, shares: Mapping[str, float], seed: int) -> list[str]:
    """Gives each video a split so that no person and no original is in two of them.

    Videos that share a person or an original, over any number of steps, stay together. The
    groups are shuffled and dealt to the split that lacks most of its share.

    Args:
        table: With `identity` and `source_id`. A video of which neither is known is a group of
            its own.
        shares: Share of the videos of each split; they sum to 1.
        seed: The same seed gives the same splits.

    Returns:
        [N], a name of `shares` for each row.

    Raises:
        ConfigError: The shares are not positive or do not sum to 1, or there are fewer groups
            than splits.
    """
    if any(share <= 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise ConfigError(f"shares must be positive and sum to 1: `{dict(shares)}`")
    groups = _groups(table)
    if len(groups) < len(shares):
        raise ConfigError(
            f"{len(groups)} groups of people cannot be split into {len(shares)} parts",
            hint="more people are needed, or fewer splits",
        )
    splits = [""] * len(table)
    lacking = {name: share * len(table) for name, share in shares.items()}
    order = np.random.default_rng(seed).permutation(len(groups))
    # Large groups first, so that small ones can even out what they do; each split gets one.
    ranked = sorted(order, key=lambda group: -len(groups[group]))
    for place, group in enumerate(ranked):
        empty = [name for name in shares if name not in splits]
        open_names = empty if len(ranked) - place <= len(empty) else list(shares)
        name = max(open_names, key=lambda one: lacking[one])
        lacking[name] -= len(groups[group])
        for row in groups[group]:
            splits[row] = name
    return splits


def _groups(table: pa.Table) -> list[list[int]]:
    """Gives the rows of each set of videos that people or originals connect."""
    parent = list(range(len(table)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[str, int] = {}
    for row, names in enumerate(_links(table)):
        for name in names:
            parent[root(row)] = root(first.setdefault(name, row))
    groups: dict[int, list[int]] = {}
    for row in range(len(table)):
        groups.setdefault(root(row), []).append(row)
    return list(groups.values())


def _links(table: pa.Table) -> Iterator[list[str]]:
    """Gives what ties each row to others."""
    columns = (table[name].to_pylist() for name in ("identity", "source_id"))
    for identity, source in zip(*columns, strict=True):
        people = [f"person:{one}" for one in identity.split(AND)] if identity else []
        yield [*people, f"original:{source}"] if source else people


def _people(table: pa.Table) -> Iterator[str]:
    for identity in _values(table, "identity"):
        yield from identity.split(AND)


def _values(table: pa.Table, name: str) -> Iterator[Any]:
    return (value for value in table[name].to_pylist() if value is not None)
