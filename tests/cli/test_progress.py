"""Progress display: rate, remaining time, failures; a line a minute without a terminal."""

import importlib
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

progress = importlib.import_module("mover_ray.cli.progress")


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_rate_counts_this_start_only(clock):
    tally = progress.Tally(total=100, done=40)
    clock[0] += 10
    tally.add({"ok": 15, "corrupt": 3})
    tally.add({"no_face": 2})
    assert tally.done == 60
    assert tally.rate() == 2.0
    assert tally.describe() == "2 videos/s, 20 s left, failed: corrupt 3"


def test_nothing_done_yet_promises_nothing(clock):
    tally = progress.Tally(total=100, done=40)
    clock[0] += 10
    assert tally.describe() == "starting"


def test_failures_are_sorted_by_number():
    counts = {"ok": 9, "timeout": 1, "corrupt": 5, "no_face": 7}
    assert progress.format_failures(counts) == "corrupt 5, timeout 1"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (5940, "99 min"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_read_well(seconds, text):
    assert progress.format_duration(seconds) == text


@given(st.floats(0, 1e8))
def test_durations_keep_their_size(seconds):
    units = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
    words = progress.format_duration(seconds).split()
    shown = sum(int(n) * units[unit] for n, unit in zip(words[::2], words[1::2], strict=True))
    smallest = units[words[-1]]
    assert abs(shown - seconds) <= smallest


def test_lines_appear_while_nothing_moves(capsys):
    lines = progress.Lines(every_s=0.01)
    lines.start(5, 2)
    lines.advance({"ok": 1})
    time.sleep(0.1)
    lines.finish()
    lines.finish()
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) >= 2
    assert all(line.startswith("3 of 5 videos") for line in shown[1:])


def test_a_message_goes_to_stderr_alone(capsys):
    lines = progress.Lines()
    lines.message("waiting [bold]")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "waiting [bold]\n")


def test_a_bar_counts_and_names_failures():
    bar = progress.Bar()
    bar.start(10, 4)
    bar.advance({"ok": 2, "corrupt": 1})
    task = bar._progress.tasks[0]
    bar.finish()
    assert (task.total, task.completed) == (10, 7)
    assert "failed: corrupt 1" in task.fields["note"]


def test_a_bar_is_drawn_on_a_terminal_and_ends_with_an_error(monkeypatch):
    def fail(display):
        assert isinstance(display, progress.Bar)
        display.start(10, 4)
        assert display._progress.live.is_started
        seen.append(display)
        raise KeyError

    seen: list[Any] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(KeyError), progress.shown() as display:
        fail(display)
    assert not seen[0]._progress.live.is_started


@pytest.mark.parametrize("terminal", [True, False])
def test_stdout_stays_free_for_data(monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with progress.shown() as display:
        display.start(1, 0)
        print("a library's chatter")  # noqa: T201
    print("data")  # noqa: T201
    captured = capsys.readouterr()
    assert captured.out == "data\n"
    assert "a library's chatter" in captured.err


def test_lines_elsewhere():
    with progress.shown() as display:
        assert isinstance(display, progress.Lines)
