"""Logging of the entry points: levels, the stream, third parties kept quiet."""

import datetime
import io
import json
import logging
import sys

import pytest

from mover_ray.errors import ConfigError
from mover_ray.log import FORMAT_VARIABLE, LEVEL_VARIABLE, log_fields, set_up_logging


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


def test_json_lines_carry_fields_and_cannot_be_forged(monkeypatch, capsys):
    monkeypatch.setenv(FORMAT_VARIABLE, "json")
    set_up_logging("info")
    logger = logging.getLogger("mover_ray.stages")
    with log_fields(run_id="r1", video_id=2**62, stage=None):
        logger.info("a name with a line break: %s", 'x\n{"level": "error"}')
        with log_fields(video_id=8):
            logger.warning("inner")
    try:
        raise ValueError("a bug")
    except ValueError:
        logger.exception("outer")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert (lines[0]["run_id"], lines[0]["video_id"]) == ("r1", str(2**62))
    assert "stage" not in lines[0]
    assert (lines[1]["run_id"], lines[1]["video_id"]) == ("r1", "8")
    assert "run_id" not in lines[2]
    assert "ValueError: a bug" in lines[2]["exception"]
    assert datetime.datetime.fromisoformat(lines[0]["time"]).utcoffset() == datetime.timedelta(0)


def test_an_unknown_format_is_refused(monkeypatch):
    monkeypatch.setenv(FORMAT_VARIABLE, "xml")
    with pytest.raises(ConfigError, match="unknown log format: `xml`"):
        set_up_logging()
