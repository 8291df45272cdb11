"""The import contracts of pyproject.toml hold, and would notice if they did not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINTER = Path(sys.executable).with_name("lint-imports")
RUFF = Path(sys.executable).with_name("ruff")

PLANTED = {
    "mover_ray/config.py": ("import mover_ray.video", "imports point downwards"),
    "mover_ray/models/registry.py": ("import mover_ray.stages", "imports point downwards"),
    "mover_ray/video/probe.py": ("import mover_ray.faces", "imports point downwards"),
    "mover_ray/operations/demo.py": ("import cli", "nothing imports the command line or a job"),
    "cli/score.py": ("import jobs", "nothing imports the command line or a job"),
    "cli/extract.py": ("import ray", "only pipelines, operations, serving and jobs import ray"),
    "mover_ray/stages/base.py": (
        "import ray.data",
        "only pipelines, operations, serving and jobs import ray",
    ),
    "mover_ray/datasets/manifest.py": ("import boto3", "only storage imports boto3"),
    "jobs/score_videos.py": ("from botocore import session", "only storage imports boto3"),
}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINTER), "--no-cache", "--config", str(root / "pyproject.toml")]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in ("mover_ray", "cli", "jobs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_contracts_are_kept():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize("contract", sorted({contract for _, contract in PLANTED.values()}))
def test_a_planted_violation_is_found(copy, contract):
    planted = {path: line for path, (line, which) in PLANTED.items() if which == contract}
    for path, line in planted.items():
        with (copy / path).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1
    assert f"{contract} BROKEN" in done.stdout
    for path in planted:
        module = path.removesuffix(".py").replace("/", ".")
        assert module.removeprefix("mover_ray.") in done.stdout


def test_a_package_without_a_layer_is_found(copy):
    (copy / "mover_ray" / "extras").mkdir()
    (copy / "mover_ray" / "extras" / "__init__.py").touch()
    done = lint(copy)
    assert done.returncode == 1
    assert "extras" in done.stdout


@pytest.mark.parametrize("name", ["mover_ray.cli", "mover_ray.jobs"])
def test_the_installed_names_of_the_top_folders_are_banned(name):
    done = subprocess.run(
        [RUFF, "check", "--no-cache", "--stdin-filename", "mover_ray/status.py", "-"],
        cwd=ROOT,
        input=f"import {name}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TID251" in done.stdout


def test_the_command_line_imports_itself_relatively_alone():
    for path in (ROOT / "cli").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import cli" not in text
        assert "from cli" not in text
