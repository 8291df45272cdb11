"""Brings what workers tell an actor to the driver while it waits for them."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import ray
from ray.exceptions import GetTimeoutError, RayError

POLL_S: Final = 1.0

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def polled(actor: Any, deliver: Callable[[Any], None]) -> Iterator[None]:
    """Passes on what an actor has to tell while the block runs, and what is left at its end.

    Nothing depends on it but a display: an actor that does not answer is logged.

    Args:
        actor: Its method `take` gives what came since the last time, and forgets it.
        deliver: Called with that, in a thread of its own and once more at the end.
    """
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(POLL_S):
            _pass_on(actor, deliver)

    thread = threading.Thread(target=poll, name="polling", daemon=True)
    thread.start()
    try:
        yield
        _pass_on(actor, deliver)
    finally:
        ended.set()
        thread.join()


def _pass_on(actor: Any, deliver: Callable[[Any], None]) -> None:
    try:
        taken = ray.get(actor.take.remote(), timeout=10)
    except (RayError, GetTimeoutError) as error:
        _logger.info("no progress to show just now: %s", error)
        return
    if taken:
        deliver(taken)
