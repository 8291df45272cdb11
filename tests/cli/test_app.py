"""The command line as a whole: speed, exit codes, signals."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mover_ray as package
from mover_ray.errors import (
    ArtifactError,
    ConfigError,
    HeldError,
    Interrupted,
    LocationError,
    StorageError,
)
from mover_ray.operations import doctor
from mover_ray.status import Status

PROGRAM = Path(sys.executable).with_name("mover-ray")
VIDEOS = 150
HEAVY = {"numpy", "pyarrow", "torch", "ray", "cv2", "av", "boto3", "timm", "rich", "pydantic"}


def test_score_has_the_options_of_the_design(mover_ray):
    text = mover_ray("score", "--help").out
    options = """
        --out --model --config --set --masks --retry --include --exclude --limit --sample
        --dry-run --fresh --max-failed --engine --address --allow-untrained --require-sandbox
        --json
    """
    assert [option for option in options.split() if f"  {option} " not in text] == []


def test_extract_has_no_options_of_a_model(mover_ray):
    text = mover_ray("extract", "--help").out
    assert "--max-failed" in text
    for option in ("--model", "--masks", "--allow-untrained"):
        assert option not in text


def test_version(mover_ray):
    ended = mover_ray("--version")
    assert (ended.code, ended.out) == (0, f"mover-ray {package.__version__}\n")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom mover_ray.cli import main\nsys.argv = ['mover-ray', 'score', '--help']\n"
        "try: main()\nexcept SystemExit: print('MODULES', *sys.modules)"
    )
    loaded = set(run_python(code).partition("MODULES")[2].split())
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_help_takes_little_more_than_typer_itself():
    """A ratio, because a busy machine makes seconds meaningless; 0.5 s is six bare starts."""
    started = time.perf_counter()
    run_python("import typer; typer.main.get_command")
    bare_s = time.perf_counter() - started
    started = time.perf_counter()
    subprocess.run([PROGRAM, "score", "--help"], capture_output=True, check=True)
    assert time.perf_counter() - started < 5 * bare_s


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("told", hint="do"), 2),
        (ArtifactError("told", hint="do"), 3),
        (LocationError("told", hint="do"), 5),
        (StorageError(Status.ACCESS_DENIED, "told", hint="do"), 5),
        (HeldError("told", hint="do"), 6),
    ],
)
def test_errors_end_with_their_code_and_without_a_traceback(mover_ray, monkeypatch, error, code):
    def raise_it(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(doctor, "examine", raise_it)
    ended = mover_ray("doctor")
    assert (ended.code, ended.out, ended.err) == (code, "", "error: told\nhint: do\n")


def test_a_bug_ends_with_1_a_traceback_and_a_request(mover_ray, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda *_args, **_kwargs: 1 / 0)
    ended = mover_ray("doctor")
    assert ended.code == 1
    assert "ZeroDivisionError" in ended.err
    assert "please report it" in ended.hint


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_names_the_command_that_finishes_it(tmp_path, number, code):
    (tmp_path / "in").mkdir()
    for name in range(VIDEOS):
        (tmp_path / "in" / f"{name}.mp4").write_bytes(b"no video %d" % name)
    command = [str(PROGRAM), "extract", "in", "--out", "o", "--engine", "local", "--json"]
    command += ["--set", "pipeline.videos_per_block=1"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        while run.poll() is None and not list(tmp_path.glob("o/crops/*.parquet")):
            time.sleep(0.01)
        run.send_signal(number)
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (code, "")
    assert "Traceback" not in err
    resume = err.splitlines()[-1].removeprefix("hint: go on with `").removesuffix("`")
    assert resume == shlex.join(["mover-ray", *command[1:]])
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    summary = json.loads(done.stdout)
    assert summary["total"] == VIDEOS
    assert 0 < summary["resumed"] < VIDEOS


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_outside_a_run(mover_ray, monkeypatch, number, code):
    monkeypatch.setattr(doctor, "examine", lambda *_args, **_kwargs: os.kill(os.getpid(), number))
    assert mover_ray("doctor").code == code


def test_json_is_one_document_alone_on_stdout(mover_ray):
    ended = mover_ray("models", "list", "--json")
    assert json.loads(ended.out) == ["delocate", "fcg", "ln-clip", "motion", "mover"]
    assert not ended.err


def test_interrupted_names_the_signal():
    assert Interrupted(signal.SIGTERM).exit_code == 143
