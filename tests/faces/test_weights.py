import hashlib
import sys

import pytest

from mover_ray.errors import ArtifactError, ConfigError
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.weights import package_file, policy_file


def test_package_file_is_found_without_importing_the_package(tmp_path, monkeypatch):
    package = tmp_path / "carries_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "net.bin").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert package_file("carries_weights", "net.bin", sha256) == package / "net.bin"
    assert "carries_weights" not in sys.modules
    with pytest.raises(ArtifactError, match="does not carry"):
        package_file("carries_weights", "other.bin", sha256)
    (package / "net.bin").write_bytes(b"weightz")
    with pytest.raises(ArtifactError, match="altered") as caught:
        package_file("carries_weights", "net.bin", sha256)
    assert sha256 in (caught.value.hint or "")


def test_missing_package_is_an_artifact_error():
    with pytest.raises(ArtifactError) as caught:
        package_file("no_such_package", "net.bin", "00")
    assert caught.value.exit_code == 3
    assert caught.value.hint


def test_policy_file_is_checked_against_its_hash(tmp_path):
    path = tmp_path / "net.bin"
    path.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    policy = FacePolicy(detector="yunet", detector_weights=str(path))
    assert policy_file(policy) == path
    named = FacePolicy(detector_weights=str(path), detector_sha256=sha256.upper())
    assert policy_file(named) == path
    with pytest.raises(ArtifactError, match="altered"):
        policy_file(FacePolicy(detector_weights=str(path), detector_sha256="0" * 64))
    with pytest.raises(ArtifactError, match="no such weights file"):
        policy_file(FacePolicy(detector_weights=str(tmp_path / "absent")))
    with pytest.raises(ConfigError, match="`yunet`"):
        policy_file(FacePolicy(detector="yunet"))
