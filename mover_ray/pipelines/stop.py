"""Ctrl-C and SIGTERM as a request that a run can answer at a good moment."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from mover_ray.errors import Interrupted
from mover_ray.pipelines.progress import Progress


class StopRequest:
    """Whether somebody asked the run to end, and with which signal."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.signal_number: int | None = None

    def __bool__(self) -> bool:
        """True once somebody has asked."""
        return self.signal_number is not None

    def raise_if_requested(self) -> None:
        """Raises `Interrupted` once somebody has asked."""
        if self.signal_number is not None:
            raise Interrupted(self.signal_number)


@contextlib.contextmanager
def stop_on_signals(progress: Progress, *, at_once: bool) -> Iterator[StopRequest]:
    """Listens for SIGINT and SIGTERM for the length of a `with` block.

    Args:
        progress: Told of the request.
        at_once: End the block from the handler, for an engine that cannot look for
            the request itself. Otherwise only a second signal does.

    Raises:
        Interrupted: The block was ended by a signal.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        again = bool(request)
        request.signal_number = number
        if again or at_once:
            # Not `Interrupted`: Ray's native code lets no other exception through
            # and would crash.
            raise KeyboardInterrupt
        progress.message("stopping after the videos under way; once more to stop at once")

    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may set handlers
        return
    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    except KeyboardInterrupt:
        request.raise_if_requested()
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
