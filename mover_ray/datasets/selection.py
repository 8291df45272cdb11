"""Which videos of a source are taken: by name, at random, or the first ones."""

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mover_ray.datasets.passed_over import PassedOver
from mover_ray.errors import ConfigError
from mover_ray.storage import relative_name

_ID_BITS = 63


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What is asked for."""

    include: Sequence[str] = ()
    """Globs; at least one must fit the name below the source, or its last part. `*`
    stands for slashes too."""
    exclude: Sequence[str] = ()
    """Globs, none of which may fit."""
    limit: int | None = None
    """Take the first so many; the search ends there."""
    sample: float | None = None
    """Take this fraction, in (0, 1], always the same videos."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a limit or a sample that makes no sense."""
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is too small: `{self.limit}`", hint="the least is 1")
        if self.sample is not None and not 0 < self.sample <= 1:
            raise ConfigError(f"sample is out of range: `{self.sample}`", hint="above 0, at most 1")

    def apply(self, table: pa.Table, folder: str, passed_over: PassedOver) -> pa.Table:
        """Gives the rows that globs and sample leave; those outside the globs are noted."""
        if self.include or self.exclude:
            table = table.filter(pa.array(self._wanted(table, folder, passed_over), pa.bool_()))
        if self.sample is not None:
            # Ids are spread evenly, so the lowest ones are a sample that never changes.
            ids = table["video_id"].to_numpy().astype(np.uint64)
            table = table.filter(pa.array(ids < np.uint64(int(self.sample * 2**_ID_BITS))))
        return table

    def _wanted(self, table: pa.Table, folder: str, passed_over: PassedOver) -> Iterator[bool]:
        include, exclude = _patterns(self.include), _patterns(self.exclude)
        for uri in table["uri"].to_pylist():
            name = relative_name(uri, folder)
            included = not include or _matches(include, name)
            excluded = _matches(exclude, name)
            if not included or excluded:
                passed_over.add(uri, "excluded" if excluded else "not included")
            yield included and not excluded


def parse_sample(text: str) -> float:
    """Reads `1%` or `0.01`.

    Raises:
        ConfigError: It is no number, or outside (0, 1].
    """
    number, percent, rest = text.strip().partition("%")
    try:
        fraction = float(number) / (100 if percent else 1)
    except ValueError:
        fraction = 0.0
    if rest or not 0 < fraction <= 1:
        raise ConfigError(f"not a sample: `{text}`", hint="write `1%` or `0.01`, at most `100%`")
    return fraction


def _patterns(globs: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(fnmatch.translate(glob)) for glob in globs)


def _matches(patterns: tuple[re.Pattern[str], ...], name: str) -> bool:
    last = name.rpartition("/")[2]
    return any(pattern.match(name) or pattern.match(last) for pattern in patterns)
