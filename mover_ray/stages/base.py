"""What a stage is: one row in, one row out, with no knowledge of who runs it."""

from typing import Any, Protocol, runtime_checkable

from mover_ray.schemas import MANIFEST

#: A table row as plain values, in the types that its schema names.
Row = dict[str, Any]


class Stage(Protocol):
    """One step of a pipeline. Built once a worker; called once a video."""

    def __call__(self, row: Row) -> Row:
        """Turns a row of the stage before into a row of this one.

        A video that cannot be processed is a row with a status, never an
        exception: what is raised here is a bug and ends the run.
        """

    def close(self) -> None:
        """Frees what the stage holds: processes, descriptors, memory."""


@runtime_checkable
class LooksAhead(Protocol):
    """A stage that can use the time of one video to prepare the next."""

    def expect(self, row: Row) -> None:
        """Says which row will most likely come after the present one."""


def manifest_columns(row: Row) -> Row:
    """Gives the columns of the manifest that every later table carries on."""
    return {name: row.get(name) for name in MANIFEST.names}
