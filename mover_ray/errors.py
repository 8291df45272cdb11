"""The exceptions of mover-ray and the exit code that each ends a command with.

    MoverRayError
    ├── InputError        data: becomes one row's status and error, never ends a run
    ├── ConfigError       exit 2: usage or configuration
    │   └── DivergedError the settings made a training's loss infinite; checkpoints are kept
    ├── ArtifactError     exit 3: a model or weights file missing, altered or refused
    ├── LocationError     exit 5: source or destination not found or not permitted
    ├── HeldError         exit 6: the destination is held or belongs to something else
    ├── StorageError      a store did not do what was asked (status says how)
    └── Interrupted       exit 130 or 143: Ctrl-C or SIGTERM; state is kept

Anything else that reaches the command line is a bug and exits 1.
"""

from functools import partial
from typing import Any

from mover_ray.status import Status


class MoverRayError(Exception):
    """An error that a user can act on."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keeps the message and, apart from it, what to do about it.

        Args:
            message: One line; values in backticks after a colon.
            hint: What the user can do, printed on a line of its own.
        """
        super().__init__(message)
        self.hint = hint


class InputError(MoverRayError):
    """One video cannot be processed; its row says so and the run goes on."""

    def __init__(self, status: Status, message: str, attempts: int = 1) -> None:
        """Keeps the status that the video's row will carry, and how often it was tried."""
        super().__init__(message)
        self.status = status
        self.attempts = attempts

    def __reduce__(self) -> tuple[type["InputError"], tuple[Status, str, int]]:
        """Crosses process borders with its status."""
        return type(self), (self.status, str(self), self.attempts)


class ConfigError(MoverRayError):
    """A setting is unknown, has a wrong type or lies outside its range."""

    exit_code = 2


class DivergedError(ConfigError):
    """A loss or its gradient is not finite; the weights before that step are kept."""


class ArtifactError(MoverRayError):
    """A model bundle or weights file is missing, altered or not acceptable."""

    exit_code = 3


class LocationError(MoverRayError):
    """A source or destination does not exist or may not be used."""

    exit_code = 5


class HeldError(MoverRayError):
    """The destination has a live holder or belongs to another model."""

    exit_code = 6


class StorageError(MoverRayError):
    """A store refused or failed; `status` is the word a video's row would carry."""

    exit_code = 5

    def __init__(self, status: Status, message: str, *, hint: str | None = None) -> None:
        """Keeps the status: one of those that `storage.Storage` names."""
        super().__init__(message, hint=hint)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        """Crosses process borders with its status and hint."""
        return partial(type(self), hint=self.hint), (self.status, str(self))


class PreconditionFailed(StorageError):  # noqa: N818 # HTTP's own name for it
    """A conditional write lost: the object exists or is no longer the expected one."""


class Interrupted(MoverRayError):  # noqa: N818 # a request that was followed, no error
    """The user or the system asked the run to end; everything committed is kept."""

    def __init__(self, signal_number: int) -> None:
        """Exits as a shell would report that signal: 130 for SIGINT, 143 for SIGTERM."""
        super().__init__("stopped on request; everything that was committed is kept")
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
        self.hint = "run the same command again to go on where it stopped"

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[int]]:
        """Crosses process borders with its signal."""
        return type(self), (self.signal_number,)
