"""The end of a run on Ray that somebody asked for: no new video, but what is under way."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import ray
from ray.exceptions import RayError

from mover_ray.pipelines.stop import StopRequest

#: How long the videos under way may take to be committed. A spot machine has 30 s left
#: when it is told.
DRAIN_S: Final = 20.0

_LOOK_EVERY_S: Final = 0.5


class StopSign:
    """Tells a worker whether the driver was asked to stop, without ever waiting for it."""

    def __init__(self, actor: Any) -> None:
        """Names the actor whose method `is_stopping` knows it."""
        self._actor = actor
        self._asked: Any = None
        self._stopping = False

    def __bool__(self) -> bool:
        """Gives the latest answer and, where it has come, asks anew."""
        if self._asked is None:
            self._asked = self._actor.is_stopping.remote()
        ready, _ = ray.wait([self._asked], timeout=0)
        if ready and not self._stopping:
            with contextlib.suppress(RayError):  # an actor that is started again: ask it anew
                self._stopping = ray.get(self._asked)
            self._asked = None
        return self._stopping


@contextlib.contextmanager
def draining(stop: StopRequest, actor: Any, drain_s: float = DRAIN_S) -> Iterator[None]:
    """Lets workers finish the videos under way once somebody asks for the end of the block.

    What takes longer than `drain_s` is interrupted as a second signal would do it.

    Args:
        stop: Asked all the time; a handler of the main thread's signals sets it.
        actor: Told by its method `stop`, from which `StopSign` hears it.
        drain_s: Seconds from the request to the interruption.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            if stop:
                break
        end = time.monotonic() + drain_s
        while not ended.wait(_LOOK_EVERY_S):
            actor.stop.remote()  # again and again: it may have been started anew
            if time.monotonic() > end:
                again = stop.signal_number or signal.SIGINT
                signal.pthread_kill(threading.main_thread().ident or 0, again)
                return

    thread = threading.Thread(target=watch, name="draining", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
