"""Entry points of jobs: a spec in, an exit code and one JSON document out."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from mover_ray.errors import ConfigError, HeldError
from mover_ray.operations.entry import options_of, read_spec, run_job
from mover_ray.pipelines.extract import ExtractOptions
from mover_ray.pipelines.progress import Progress, RunSummary
from mover_ray.pipelines.score import ScoreOptions
from mover_ray.pipelines.train import TrainOptions


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.toml"
    path.write_text(
        'source = "archive"\n'
        'dest = "out"\n'
        'include = ["*.mp4"]\n'
        "[settings.pipeline]\n"
        "videos_per_block = 4\n"
    )
    return path


def summary(options: ExtractOptions, progress: Progress) -> RunSummary:
    progress.start(2, 0)
    progress.advance({"ok": 1, "corrupt": 1})
    progress.finish()
    return RunSummary(
        dest=options.dest, run_id="r", attempt=1, engine="local", total=2, resumed=0,
        counts={"ok": 1, "corrupt": 1}, files=1, seconds=0.1, passed_over={},
    )  # fmt: skip


def refused(options: ExtractOptions, progress: Progress) -> RunSummary:
    raise HeldError("held", hint="wait")


def test_a_spec_becomes_options(spec: Path) -> None:
    options = options_of(ExtractOptions, read_spec(str(spec)))
    assert (options.source, options.dest, options.include) == ("archive", "out", ("*.mp4",))
    assert options.settings == {"pipeline": {"videos_per_block": 4}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('sorce = "a"', "unknown setting: `sorce`"),
        ('source = "a"', "missing setting: `dest`"),
        ("source = ", "spec cannot be read"),
        ('source = 1\ndest = "b"', "`source` has the wrong type"),
    ],
)
def test_a_wrong_spec_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        options_of(ScoreOptions, read_spec(str(path)))
    with pytest.raises(ConfigError, match="spec cannot be read"):
        read_spec(str(tmp_path / "missing.toml"))
    with pytest.raises(ConfigError, match="spec cannot be read"):
        read_spec('{"source":')


def test_a_spec_may_be_the_argument_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVER_RAY_PIPELINE__WORKERS", "3")
    monkeypatch.setenv("MOVER_RAY_SCORE__SAMPLING_SECRET", "of the node")
    spec = {"source": "a", "dest": "b", "settings": {"pipeline": {"workers": 4}}}
    options = options_of(ScoreOptions, read_spec(json.dumps(spec)))
    assert options.settings["pipeline"] == {"workers": 4}
    assert options.settings_of("score")["sampling_secret"] == "of the node"  # noqa: S105
    assert options_of(TrainOptions, {"preset": "p", "dest": "d"}).settings == {}


def test_too_many_failures_end_with_4(spec: Path) -> None:
    text = spec.read_text()
    for allowed, code in ((1, 0), (0, 4)):
        spec.write_text(f"max_failed = {allowed}\n{text}")
        assert run_job(ExtractOptions, summary, [str(spec)]) == code


def test_a_finished_job_prints_its_summary(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_job(ExtractOptions, summary, [str(spec)]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"ok": 1, "corrupt": 1}


def test_a_refused_job_logs_error_and_hint(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_job(ExtractOptions, refused, [str(spec)]) == 6
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "held" in captured.err
    assert "hint: wait" in captured.err
    assert run_job(ExtractOptions, refused, []) == 2


@pytest.mark.parametrize("job", ["score_videos", "extract_faces"])
def test_a_job_runs_as_a_module(job: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(f'source = "{tmp_path}/missing"\ndest = "{tmp_path}/out"\n')
    done = subprocess.run(
        [sys.executable, "-m", f"mover_ray.jobs.{job}", str(spec)],
        capture_output=True,
        text=True,
        check=False,
    )
    # `score` has no model here and `extract` no source: each says so first.
    assert done.returncode == {"score_videos": 3, "extract_faces": 5}[job], done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> "object":
    """`run_job` sets logging up for a process of its own."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before[0], before[1]
