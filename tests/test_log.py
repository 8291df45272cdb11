"""Logging of the entry points: levels, the stream, third parties kept quiet."""

import io
import logging
import sys

import pytest

from mover_ray.errors import ConfigError
from mover_ray.log import LEVEL_VARIABLE, set_up_logging


@pytest.fixture(autouse=True)
def restored():
    root, own = logging.getLogger(), logging.getLogger("mover_ray")
    before = root.handlers[:], root.level, own.level
    yield
    root.handlers[:], root.level, own.level = before[0], before[1], before[2]
    root.setLevel(before[1])
    own.setLevel(before[2])


def test_own_records_follow_the_level_and_others_do_not(capsys):
    set_up_logging("info")
    logging.getLogger("mover_ray.video").info("video_id=%s is fine", 7)
    logging.getLogger("botocore").info("chatter")
    logging.getLogger("botocore").warning("slow down")
    captured = capsys.readouterr()
    assert not captured.out
    assert "INFO mover_ray.video: video_id=7 is fine" in captured.err
    assert "chatter" not in captured.err
    assert "slow down" in captured.err


def test_the_environment_decides_where_the_caller_does_not(monkeypatch):
    monkeypatch.setenv(LEVEL_VARIABLE, "debug")
    set_up_logging()
    assert logging.getLogger("mover_ray").level == logging.DEBUG
    set_up_logging("error")
    assert logging.getLogger("mover_ray").level == logging.ERROR


def test_records_go_where_stderr_is_at_that_moment(monkeypatch):
    set_up_logging("info")
    bar = io.StringIO()
    monkeypatch.setattr(sys, "stderr", bar)
    logging.getLogger("mover_ray").info("above the bar")
    assert "above the bar" in bar.getvalue()


def test_an_unknown_level_is_refused():
    with pytest.raises(ConfigError, match="unknown log level: `loud`"):
        set_up_logging("loud")
