"""What a run tells its caller while it works and when it ends."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol


class Progress(Protocol):
    """Shows a run; the command line draws it, tests and jobs may ignore it."""

    def start(self, total: int, done: int) -> None:
        """Begins with `total` videos, `done` of which an earlier start finished."""

    def advance(self, counts: Mapping[str, int]) -> None:
        """Adds newly committed videos, counted by status."""

    def message(self, text: str) -> None:
        """Shows one line that the user should read."""

    def finish(self) -> None:
        """Ends the display."""


class Quiet:
    """A `Progress` that shows nothing."""

    def start(self, total: int, done: int) -> None:
        """Shows nothing."""

    def advance(self, counts: Mapping[str, int]) -> None:
        """Shows nothing."""

    def message(self, text: str) -> None:
        """Shows nothing."""

    def finish(self) -> None:
        """Shows nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """How a run ended, proved against its manifest."""

    dest: str
    """Where the rows are."""
    run_id: str
    """Stays the same over all attempts at one destination."""
    attempt: int
    """Number of the start that ended the run."""
    engine: str
    """`local`, `ray`, or `none` where nothing was left to do."""
    total: int
    """Videos of the manifest; each has one row."""
    resumed: int
    """Videos whose rows an earlier start had committed."""
    counts: Mapping[str, int]
    """Rows by status."""
    files: int
    """Result files that readers go by."""
    seconds: float
    """Wall time of this start."""
    passed_over: Mapping[str, int]
    """Files of the source that are no videos, counted by the reason."""

    def as_json(self) -> dict[str, Any]:
        """Gives the summary as the document that `--json` prints."""
        return asdict(self)
