"""The end of a run on Ray: workers hear of it, and what takes too long is interrupted."""

import signal
import time

import pytest

from mover_ray.errors import Interrupted
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.ray_stop import draining
from mover_ray.pipelines.stop import stop_on_signals


class Told:
    """Stands for the actor: counts what it is told."""

    def __init__(self) -> None:
        self.times = 0
        self.stop = self

    def remote(self) -> None:
        self.times += 1


def stopped(actor: Told, drain_s: float) -> None:
    """A run that is asked to end, and ends once its workers have heard of it."""
    with stop_on_signals(Quiet(), at_once=False) as stop:
        with draining(stop, actor, drain_s):
            signal.raise_signal(signal.SIGTERM)
            wait_for(lambda: actor.times > 0 and drain_s > 0)
        stop.raise_if_requested()


def test_workers_are_told_and_the_block_may_end_by_itself() -> None:
    actor = Told()
    with pytest.raises(Interrupted):
        stopped(actor, drain_s=60)
    assert actor.times > 0


def test_what_takes_too_long_is_interrupted() -> None:
    with pytest.raises(Interrupted) as error:
        stopped(Told(), drain_s=0.0)
    assert error.value.exit_code == 143


def test_without_a_request_nobody_is_told() -> None:
    actor = Told()
    with stop_on_signals(Quiet(), at_once=False) as stop, draining(stop, actor):
        pass
    assert actor.times == 0


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
