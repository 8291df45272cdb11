"""What is installed is what the repository holds."""

import email
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import mover_ray

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOP = {"mover_ray": "mover_ray", "cli": "mover_ray.cli", "jobs": "mover_ray.jobs"}
MOST_LINES = 600


def source_files() -> list[Path]:
    return [path for name in TOP for path in sorted((ROOT / name).rglob("*.py"))]


def module_name(path: Path) -> str:
    top, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([TOP[top], *rest]).removesuffix(".__init__")


def repository_files() -> list[Path]:
    """Files that are in the repository or would be after `git add .`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built by the installed setuptools from a copy, without a network."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in TOP:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(copy / done.stdout.splitlines()[-1]) as archive:
        yield archive


def test_packages_are_the_folders():
    folders = {module_name(path).rpartition(".")[0] for path in source_files()}
    folders |= {module_name(path) for path in source_files() if path.name == "__init__.py"}
    packages = PROJECT["tool"]["setuptools"]["packages"]
    assert packages == sorted(packages)
    assert set(packages) == folders - {""}


def test_each_package_has_its_init_file():
    assert all((path.parent / "__init__.py").is_file() for path in source_files())


def test_one_version():
    assert mover_ray.__version__ == PROJECT["project"]["version"] == metadata.version("mover-ray")


def test_wheel_holds_every_module(wheel):
    modules = {name.removesuffix(".py").replace("/", ".") for name in wheel.namelist()}
    modules = {name.removesuffix(".__init__") for name in modules}
    assert {module_name(path) for path in source_files()} <= modules
    assert not any(name.startswith(("cli/", "jobs/", "tests/")) for name in wheel.namelist())


def test_wheel_holds_the_files_that_are_no_modules(wheel):
    names = set(wheel.namelist())
    assert "mover_ray/py.typed" in names
    assert {path.name for path in (ROOT / "mover_ray/operations/data").iterdir()} == {
        name.rpartition("/")[2] for name in names if "/operations/data/" in name
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_wheel_makes_the_command(wheel):
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "mover-ray = mover_ray.cli:main" in wheel.read(entry_points).decode()


def test_wheel_requires_what_the_project_says(wheel):
    name = next(name for name in wheel.namelist() if name.endswith("dist-info/METADATA"))
    message = email.message_from_bytes(wheel.read(name))
    required = {Requirement(line).name for line in message.get_all("Requires-Dist", [])}
    assert {Requirement(line).name for line in PROJECT["project"]["dependencies"]} <= required
    assert message["License-Expression"] == "Apache-2.0"


def locked(name: str) -> dict[str, set[str]]:
    """Versions by package of a lock file: one a platform or Python."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z0-9-]+)==([^ ]+)", line):
            found.setdefault(match[1], set()).add(match[2])
    return found


def test_lock_is_in_step_with_the_project():
    versions = locked("dev.txt")
    extra = PROJECT["project"]["optional-dependencies"]["retinaface"]
    lines = (ROOT / "requirements/dev.in").read_text(encoding="utf-8").splitlines()
    tools = [line.partition("#")[0] for line in lines if line.partition("#")[0].strip()]
    for line in [*PROJECT["project"]["dependencies"], *extra, *tools]:
        requirement = Requirement(line)
        assert versions.get(requirement.name), f"{requirement.name}: run `make lock`"
        assert all(requirement.specifier.contains(found) for found in versions[requirement.name])


@pytest.mark.parametrize("name", ["uv.txt", "build.txt", "dev.txt"])
def test_locks_have_hashes_and_no_addresses(name):
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z])", text)
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)
    assert "://" not in text


def test_builds_use_the_locked_setuptools():
    assert locked("build.txt")["setuptools"] == locked("dev.txt")["setuptools"]


def test_what_is_kept_out_is_not_locked():
    lines = (ROOT / "requirements/overrides.txt").read_text(encoding="utf-8").splitlines()
    kept_out = {Requirement(line).name for line in lines if line and not line.startswith("#")}
    assert "opencv-python" in kept_out
    assert not kept_out & set(locked("dev.txt"))


def test_no_file_is_too_long():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in [*source_files(), *sorted((ROOT / "tests").rglob("*.py"))]
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long


def test_no_file_names_a_place_on_this_machine():
    places = {str(ROOT).encode(), sys.prefix.encode()}
    assert [
        path.name
        for path in repository_files()
        if path.is_file() and any(place in path.read_bytes() for place in places)
    ] == []
