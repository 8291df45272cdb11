"""What every test of this folder did to a run, and what became of its rows."""

import os
from dataclasses import dataclass

_HEADER = ("test", "faults", "rows", "lost", "duplicate")


@dataclass
class Tally:
    """The account of one test."""

    faults: int = 0
    rows: int = 0
    lost: int = 0
    duplicate: int = 0


_tallies: dict[str, Tally] = {}


def injected(count: int = 1) -> None:
    """Adds faults to the account of the test that runs."""
    _present().faults += count


def counted(rows: int, lost: int, duplicate: int) -> None:
    """Adds the rows of a finished run to the account of the test that runs."""
    tally = _present()
    tally.rows += rows
    tally.lost += lost
    tally.duplicate += duplicate


def table() -> list[str]:
    """Gives the lines of the table of all accounts; none where there is no account."""
    if not _tallies:
        return []
    rows = [
        (name, *map(str, (tally.faults, tally.rows, tally.lost, tally.duplicate)))
        for name, tally in _tallies.items()
    ]
    total = [sum(int(row[column]) for row in rows) for column in range(1, 5)]
    rows = [_HEADER, *rows, ("all", *map(str, total))]
    width = max(len(row[0]) for row in rows)
    return [f"{row[0]:<{width}}" + "".join(f"{cell:>11}" for cell in row[1:]) for row in rows]


def _present() -> Tally:
    place = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
    return _tallies.setdefault(place.rpartition("::")[2], Tally())
