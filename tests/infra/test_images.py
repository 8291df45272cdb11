"""The images: a clean Dockerfile, safe scripts, locks that fit the tests', a bill of materials."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DOCKERFILE = (ROOT / "infra" / "Dockerfile").read_text(encoding="utf-8")
CUDA = re.compile(r"torch|torchvision|triton|(nvidia|cuda)-.*")


def locked(path: Path) -> dict[str, set[str]]:
    """Gives the hashes of each `name==version` of a lock."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+==[^ ;\\]+)", line):
            name = match[1]
            found.setdefault(name, set())
        found.get(name, set()).update(re.findall(r"sha256:[0-9a-f]{64}", line))
    return found


def tool(name: str) -> str:
    path = BIN / name
    if not path.exists():
        pytest.skip(f"{name} is not installed")
    return str(path)


def test_the_dockerfile_passes_its_linter():
    done = subprocess.run(
        [tool("hadolint"), ROOT / "infra" / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", ["cluster/local.sh", "infra/build.sh", "infra/certificate.sh"])
def test_scripts_pass_their_linter_and_may_be_run(script):
    done = subprocess.run(
        [tool("shellcheck"), ROOT / script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert (ROOT / script).stat().st_mode & 0o111


def test_both_targets_are_built_on_a_digest_and_run_as_nobody():
    bases = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")]
    assert [base for base in bases if "/" in base or "$" in base] == [
        "${PYTHON_IMAGE}@${PYTHON_DIGEST}"
    ]
    for target in ("cpu", "gpu"):
        assert re.search(rf"^FROM node AS {target}$", DOCKERFILE, re.MULTILINE)
    after_user = DOCKERFILE.partition("USER 10001:10001")[2]
    assert after_user
    assert "USER" not in after_user
    assert "RUN" not in after_user


def test_what_the_dockerfile_copies_is_let_into_the_build():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    for line in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in line.split():
            assert any(source == each or source.startswith(f"{each}/") for each in let_in), source


@pytest.mark.parametrize("image", ["cpu", "gpu"])
def test_locks_hold_versions_and_hashes_that_the_tests_have_seen(image):
    seen = locked(ROOT / "requirements" / "dev.txt")
    lock = locked(ROOT / "infra" / "locks" / f"{image}.txt")
    assert len(lock) > 50
    for name, hashes in lock.items():
        assert hashes, f"{name} has no hash"
        assert hashes <= seen[name], f"{name} is another file than the tests saw"
    assert not {name for name in lock if name.startswith(("pytest==", "mypy==", "ruff=="))}


def test_the_image_for_cpus_has_no_cuda_and_is_else_the_same():
    cpu, gpu = (set(locked(ROOT / "infra" / "locks" / f"{each}.txt")) for each in ("cpu", "gpu"))
    assert cpu < gpu
    assert all(CUDA.fullmatch(name.partition("==")[0]) for name in gpu - cpu)
    assert not any(CUDA.fullmatch(name.partition("==")[0]) for name in cpu)


def test_the_bill_of_materials_names_every_package(tmp_path):
    tool("cyclonedx-py")
    bill = tmp_path / "bill.json"
    command = [ROOT / "infra" / "build.sh", "sbom", "gpu", bill]
    subprocess.run(command, check=True, env={"PATH": "/usr/bin:/bin", "BIN": str(BIN)})
    document = json.loads(bill.read_text(encoding="utf-8"))
    assert document["bomFormat"] == "CycloneDX"
    named = {f"{each['name']}=={each['version']}" for each in document["components"]}
    assert named == set(locked(ROOT / "infra" / "locks" / "gpu.txt"))


def test_a_wrong_command_is_answered_with_a_hint():
    done = subprocess.run(
        [ROOT / "infra" / "build.sh", "image", "tpu", "x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "hint:" in done.stderr
