"""The command line as a whole: help, exit codes, wrong input, signals."""

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
COMMANDS = [
    [],
    ["demo"],
    ["score"],
    ["extract"],
    ["doctor"],
    ["manifest"],
    ["manifest", "build"],
    ["manifest", "show"],
    ["models"],
    ["models", "list"],
    ["models", "show"],
    ["models", "verify"],
    ["models", "init"],
    ["runs"],
    ["runs", "verify"],
]
VIDEOS = 150
HEAVY = {"numpy", "pyarrow", "torch", "ray", "cv2", "av", "boto3", "timm", "rich", "pydantic"}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_each_command_fits_80_columns(mover_ray, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    ended = mover_ray(*command, "--help")
    assert ended.code == 0
    assert ended.out.startswith("Usage: mover-ray")
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "..." not in ended.out.partition("Commands:")[2]


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


WRONG = {
    "no such command": (["scroe"], 2, "No such command 'scroe'.", "see `mover-ray --help`"),
    "no such option": (["demo", "--speed"], 2, "No such option: --speed", "see `mover-ray demo"),
    "no source": (["score"], 2, "Missing argument 'SOURCE'", "see `mover-ray score --help`"),
    "no destination": (["score", "."], 2, "Missing option '--out'", "see `mover-ray score --help`"),
    "unknown engine": (["score", ".", "--out", "o", "--engine", "dask"], 2, "'dask'", "see"),
    "unknown masks": (["score", ".", "--out", "o", "--masks", "some"], 2, "'some'", "see"),
    "limit of none": (["score", ".", "--out", "o", "--limit", "0"], 2, "'--limit'", "see"),
    "no assignment": (["score", ".", "--out", "o", "--set", "a"], 2, "`a`", "section.key=value"),
    "unknown setting": (
        ["extract", ".", "--out", "o", "--set", "pipeline.videos_per_blok=1"],
        2,
        "unknown setting: `pipeline.videos_per_blok`",
        "did you mean `pipeline.videos_per_block`?",
    ),
    "no such config": (
        ["score", ".", "--out", "o", "--config", "no.toml"],
        2,
        "no such configuration file: `no.toml`",
        None,
    ),
    "unknown status": (
        ["extract", "videos", "--out", "o", "--retry", "sad"],
        2,
        "unknown status: `sad`",
        "timeout",
    ),
    "unknown level": (["--log-level", "loud", "doctor"], 2, "unknown log level: `loud`", "debug"),
    "no model": (["score", "videos", "--out", "o"], 3, "no model is given", "models init"),
    "missing model": (
        ["score", "videos", "--out", "o", "--model", "m"],
        3,
        "no such bundle: `",
        "models init",
    ),
    "missing bundle": (["models", "show", "m"], 3, "no such bundle: `", "models init"),
    "unknown detector": (
        ["models", "init", "mver", "--out", "m"],
        2,
        "unknown detector: `mver`",
        "did you mean `mover`?",
    ),
    "missing source": (["extract", "nowhere", "--out", "o"], 5, "nowhere`", None),
    "empty source": (["extract", "empty", "--out", "o"], 5, "no video in the source", "misspelt"),
    "unknown scheme": (["extract", "gs://a/b", "--out", "o"], 5, "unknown scheme", None),
    "no manifest": (["manifest", "show", "m.parquet"], 5, "m.parquet", None),
    "no run": (["runs", "verify", "empty"], 5, "no run at", "--out"),
    "not a demo's folder": (["demo", "--out", "videos"], 2, "holds something else", "--out"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_says_what_and_what_to_do_and_writes_nothing(mover_ray, tmp_path, case):
    arguments, code, message, hint = WRONG[case]
    (tmp_path / "empty").mkdir()
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"no video")
    ended = mover_ray(*arguments)
    assert ended.code == code
    assert message in ended.error
    assert hint is None or hint in ended.hint
    assert "Traceback" not in ended.err
    assert not ended.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "videos"]


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
    def raise_it(_dest):
        raise error

    monkeypatch.setattr(doctor, "examine", raise_it)
    ended = mover_ray("doctor")
    assert (ended.code, ended.out, ended.err) == (code, "", "error: told\nhint: do\n")


def test_a_bug_ends_with_1_a_traceback_and_a_request(mover_ray, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda _dest: 1 / 0)
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
    monkeypatch.setattr(doctor, "examine", lambda _dest: os.kill(os.getpid(), number))
    assert mover_ray("doctor").code == code


def test_json_is_one_document_alone_on_stdout(mover_ray):
    ended = mover_ray("models", "list", "--json")
    assert json.loads(ended.out) == ["delocate", "mover"]
    assert not ended.err


def test_completion_is_on(mover_ray):
    assert "--install-completion" in mover_ray("--help").out


def test_interrupted_names_the_signal():
    assert Interrupted(signal.SIGTERM).exit_code == 143
