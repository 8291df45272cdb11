"""Progress of a run on stderr: a bar on a terminal, one line a minute elsewhere."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from mover_ray.pipelines import progress
from mover_ray.status import ANSWERED

LINE_EVERY_S = 60.0


class Tally:
    """Counts a run's videos and knows its rate."""

    def __init__(self, total: int, done: int) -> None:
        """Starts the clock with `done` of `total` videos finished earlier."""
        self.total = total
        self.done = done
        self.counts: Counter[str] = Counter()
        self._started_s = time.monotonic()

    def add(self, counts: Mapping[str, int]) -> None:
        """Adds newly finished videos by status."""
        self.counts.update(counts)
        self.done += sum(counts.values())

    def rate(self) -> float:
        """Gives the videos a second since the start of this run."""
        return self.counts.total() / max(time.monotonic() - self._started_s, 1e-3)

    def describe(self) -> str:
        """Says rate, remaining time and failures, as far as they are known."""
        parts = []
        if rate := self.rate():
            parts.append(f"{rate:.3g} videos/s")
            if left := self.total - self.done:
                parts.append(f"{format_duration(left / rate)} left")
        if failed := format_failures(self.counts):
            parts.append(f"failed: {failed}")
        return ", ".join(parts) or "starting"


def format_duration(seconds: float) -> str:
    """Gives a duration as `48 s`, `12 min`, `3 h 20 min` or `2 d 4 h`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{round(seconds)} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = minutes // 60
    return f"{hours // 24} d {hours % 24} h"


def format_failures(counts: Mapping[str, int]) -> str:
    """Gives the statuses that are failures with their counts, the most frequent first."""
    failed = Counter({name: count for name, count in counts.items() if name not in ANSWERED})
    return ", ".join(f"{name} {count}" for name, count in failed.most_common())


class Bar:
    """A `Progress` for terminals."""

    def __init__(self) -> None:
        """Draws nothing before `start`."""
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._tally = Tally(0, 0)
        self._task: TaskID | None = None

    def start(self, total: int, done: int) -> None:
        """Draws the bar."""
        self._tally = Tally(total, done)
        self._task = self._progress.add_task("", total=total, completed=done, note="starting")
        self._progress.start()

    def advance(self, counts: Mapping[str, int]) -> None:
        """Moves the bar on."""
        self._tally.add(counts)
        if self._task is not None:
            note = self._tally.describe()
            self._progress.update(self._task, completed=self._tally.done, note=note)

    def message(self, text: str) -> None:
        """Prints a line above the bar."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """Leaves the bar as it stands."""
        self._progress.stop()


class Lines:
    """A `Progress` for log files: a line a minute, also while nothing moves."""

    def __init__(self, every_s: float = LINE_EVERY_S) -> None:
        """Prints nothing before `start`."""
        self._every_s = every_s
        self._tally = Tally(0, 0)
        self._finished = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, total: int, done: int) -> None:
        """Begins to report; a command of several runs begins anew with each."""
        self.finish()
        self._tally = Tally(total, done)
        self._finished.clear()
        self._thread = threading.Thread(target=self._report, daemon=True)
        self._thread.start()

    def advance(self, counts: Mapping[str, int]) -> None:
        """Counts; the next line shows it."""
        self._tally.add(counts)

    def message(self, text: str) -> None:
        """Prints a line at once."""
        typer.echo(text, err=True)

    def finish(self) -> None:
        """Ends the reports."""
        self._finished.set()
        if self._thread is not None:
            self._thread.join()

    def _report(self) -> None:
        while not self._finished.wait(self._every_s):
            done, total = self._tally.done, self._tally.total
            self.message(f"{done} of {total} videos, {self._tally.describe()}")


@contextmanager
def shown() -> Iterator[progress.Progress]:
    """Gives the `Progress` that fits stderr and ends its display whatever happens.

    Meanwhile stdout goes to stderr: Ray prints its workers' warnings there, and
    stdout is for data.
    """
    display: progress.Progress = Bar() if sys.stderr.isatty() else Lines()
    with redirect_stdout(sys.stderr):
        try:
            yield display
        finally:
            display.finish()
