import hashlib
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

import mover_ray
from mover_ray import provenance

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def checkout(tmp_path):
    """A repository with one commit."""

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "--quiet", "--message", "first")
    return tmp_path, git("rev-parse", "HEAD")


@needs_git
def test_a_checkout_has_a_revision_and_knows_its_changes(checkout):
    root, revision = checkout
    facts = provenance.code_facts(root)
    assert facts == {
        "version": mover_ray.__version__,
        "revision": revision,
        "modified": False,
    }
    (root / "file").write_text("2")
    assert provenance.code_facts(root)["modified"] is True


@needs_git
def test_a_folder_inside_another_checkout_has_none(checkout):
    inside = checkout[0] / "site-packages"
    inside.mkdir()
    assert provenance.code_facts(inside)["revision"] is None


def test_without_git_there_is_no_revision(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    assert provenance.code_facts(tmp_path)["revision"] is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.code_facts()["revision"] is None


def test_facts_of_the_environment_are_json():
    facts = provenance.environment_facts()
    assert json.loads(provenance.dump_json(facts)) == facts
    assert re.fullmatch(r"\d+\.\d+.*", facts["libraries"]["pyarrow"])
    assert facts["platform"]["python"] == sys.version.split()[0]


def test_versions_are_found_without_importing():
    assert provenance.library_versions(("pyarrow", "no-such-package"))["no-such-package"] is None
    code = "import sys, mover_ray.provenance as p; p.library_versions(); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(run.stdout.split())
    assert "mover_ray.provenance" in loaded
    assert not loaded & {"torch", "ray", "numpy", "pyarrow", "boto3"}


def test_hashes_are_those_of_the_content(tmp_path):
    data = b"x" * 3_000_000
    (tmp_path / "file").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert provenance.sha256_file(tmp_path / "file") == expected
    assert provenance.sha256_bytes(data) == expected


def test_json_has_one_spelling():
    text = provenance.dump_json({"b": [1], "a": "ü"})
    assert text == '{\n  "a": "ü",\n  "b": [\n    1\n  ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        provenance.dump_json({"score": float("nan")})


def test_times_are_utc():
    text = provenance.utc_now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(text)) < timedelta(minutes=1)
