"""What a source holds and a manifest does not: counted by reason, named as far as is useful."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

#: Names that are kept. An archive may hold more files that are no videos than videos.
_NAMES: Final = 1000


class PassedOver:
    """Uris that were met and not taken."""

    def __init__(self, found: Iterable[tuple[str, str]] = ()) -> None:
        """Takes over pairs of uri and reason."""
        self.counts: Counter[str] = Counter()
        """How many, by reason."""
        self.names: list[tuple[str, str]] = []
        """Uri and reason of the first ones."""
        for uri, reason in found:
            self.add(uri, reason)

    def add(self, uri: str, reason: str) -> None:
        """Counts one uri."""
        self.counts[reason] += 1
        if len(self.names) < _NAMES:
            self.names.append((uri, reason))

    def joined(self, other: "PassedOver") -> "PassedOver":
        """Gives what was met here and there."""
        both = PassedOver()
        both.counts = self.counts + other.counts
        both.names = (self.names + other.names)[:_NAMES]
        return both

    def by_reason(self) -> dict[str, int]:
        """Gives how many there are for each reason, the most frequent first."""
        return dict(self.counts.most_common())
