"""Every `--help` reads well at 80 columns, and the shells complete."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from mover_ray.cli import app

PROGRAM = Path(sys.executable).with_name("mover-ray")


def commands(command, path=()):
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


COMMANDS = [" ".join(path) for path in commands(typer.main.get_command(app))]


def test_the_commands_of_the_design_are_there():
    wanted = """
        demo score extract evaluate plan doctor jobs submit list status logs stop resume wait
        manifest build show dataset models init verify runs train pretrain finetune
    """
    assert set(wanted.split()) <= {word for path in COMMANDS for word in path.split()}


#: Typer otherwise looks for the shell among the parents, and CI may have none.
NO_DETECTION = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_reads_well_at_80_columns(mover_ray, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    ended = mover_ray(*command.split(), "--help")
    assert ended.code == 0
    assert ended.out.startswith(f"Usage: {f'mover-ray {command}'.strip()}")
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "..." not in ended.out.partition("Commands:")[2]  # no summary is cut off
    assert undescribed(ended.out) == []


def undescribed(text):
    """Lists the options of a help text beside which nothing stands."""
    lines = text.partition("Options:")[2].splitlines()
    options = [number for number, line in enumerate(lines) if line.startswith("  -")]
    following = [*lines, ""]
    return [
        lines[number]
        for number in options
        if len(lines[number].strip().split("  ")) < 2
        and not following[number + 1].startswith("   ")
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("jo", {"jobs"}),
        ("jobs st", {"status", "stop"}),
        ("score . --engine ", {"auto", "local", "ray"}),
    ],
)
def test_bash_completes(words, expected):
    script = subprocess.run(
        [PROGRAM, "--show-completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
        env=NO_DETECTION,
    ).stdout
    line = f"mover-ray {words}"
    *before, last = line.split(" ")
    setting = " ".join(f"'{word}'" for word in (*before, last))
    asked = f"{script}\nCOMP_WORDS=({setting})\nCOMP_CWORD={len(before)}\n"
    asked += "_mover_ray_completion mover-ray\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, check=True, env=environment
    )
    assert set(done.stdout.split()) == expected, done.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_reads_its_completion():
    script = subprocess.run(
        [PROGRAM, "--show-completion", "zsh"],
        capture_output=True,
        text=True,
        check=True,
        env=NO_DETECTION,
    ).stdout
    asked = f"autoload -U compinit && compinit -u\n{script}\nprint -- $_comps[mover-ray]\n"
    done = subprocess.run(["zsh", "-fc", asked], capture_output=True, text=True, check=True)
    assert "mover_ray_completion" in done.stdout


def test_zsh_is_answered_with_what_completes():
    environment = {
        **os.environ,
        "_MOVER_RAY_COMPLETE": "complete_zsh",
        "_TYPER_COMPLETE_ARGS": "mover-ray jobs st",
    }
    done = subprocess.run([PROGRAM], capture_output=True, text=True, check=True, env=environment)
    assert '"status"' in done.stdout
    assert '"stop"' in done.stdout
    assert '"resume"' not in done.stdout
