"""How a run ends: its table, its document, exit code 4, the command that resumes it."""

import importlib
import json
import signal
import sys

import pytest
import typer

from mover_ray.errors import Interrupted
from mover_ray.pipelines.progress import RunSummary

summary = importlib.import_module("mover_ray.cli.summary")

ENDED = RunSummary(
    dest="/results/run7",
    run_id="r",
    attempt=2,
    engine="local",
    total=1200,
    resumed=200,
    counts={"ok": 1180, "no_face": 17, "corrupt": 2, "timeout": 1},
    files=80,
    seconds=130.0,
    passed_over={"not a video": 4},
)


def test_table_has_every_status_and_the_sum(capsys):
    summary.end_run(ENDED, as_json=False, max_failed=None)
    out = capsys.readouterr().out
    words = [line.split() for line in out.splitlines()]
    for row in (["ok", "1,180"], ["no_face", "17"], ["corrupt", "2"], ["all", "1,200"]):
        assert row in words
    assert "1,000 processed in 2 min" in out
    assert "200 were there from an earlier start" in out
    assert "4 files passed over: not a video" in out
    assert "rows: /results/run7" in out


def test_json_is_the_whole_summary(capsys):
    summary.end_run(ENDED, as_json=True, max_failed=None)
    assert json.loads(capsys.readouterr().out) == ENDED.as_json()


@pytest.mark.parametrize("allowed", [None, 3, 4])
def test_as_many_failures_as_allowed_are_fine(allowed):
    summary.end_run(ENDED, as_json=True, max_failed=allowed)


@pytest.mark.parametrize("allowed", [2, 0])
def test_more_failures_than_allowed_exit_with_4(allowed, capsys):
    """Three videos failed; the one without a face is no failure."""
    with pytest.raises(typer.Exit) as ended:
        summary.end_run(ENDED, as_json=False, max_failed=allowed)
    assert ended.value.exit_code == 4
    assert f"3 videos failed, {allowed} were allowed" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_names_the_command_to_go_on_with(monkeypatch, number, code):
    command = ["/opt/bin/mover-ray", "score", "a b", "--out", "o", "--fresh"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(Interrupted) as ended, summary.resumable():
        raise KeyboardInterrupt if number == signal.SIGINT else Interrupted(number)
    assert ended.value.exit_code == code
    assert ended.value.hint == "go on with `mover-ray score 'a b' --out o`"
