"""Where weights lie: in an installed package, or at a path that the policy names."""

import hashlib
import importlib.util
from pathlib import Path

from mover_ray.errors import ArtifactError, ConfigError
from mover_ray.faces.policy import FacePolicy


def package_file(package: str, relative: str, sha256: str) -> Path:
    """Finds a data file of an installed package without importing the package.

    Args:
        package: Name of the top-level import package.
        relative: Path of the file inside it.
        sha256: Hexadecimal hash that the file must have.

    Raises:
        ArtifactError: The package or the file is missing, or the file was altered.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / relative
        if path.is_file():
            return _verified(path, sha256)
    raise ArtifactError(
        f"package does not carry its weights: `{package}/{relative}`",
        hint="install mover-ray with its locked requirements: `make setup`",
    )


def policy_file(policy: FacePolicy) -> Path:
    """Gives the weights file that a policy names.

    Raises:
        ConfigError: The policy's detector needs a file and none is named.
        ArtifactError: The file is missing or has another hash than the policy says.
    """
    if policy.detector_weights is None:
        raise ConfigError(
            f"detector needs a weights file: `{policy.detector}`",
            hint="set `detector_weights` to a path and `detector_sha256` to its hash",
        )
    path = Path(policy.detector_weights)
    if not path.is_file():
        raise ArtifactError(
            f"no such weights file: `{path}`", hint="`detector_weights` must be a local path"
        )
    return path if policy.detector_sha256 is None else _verified(path, policy.detector_sha256)


def _verified(path: Path, sha256: str) -> Path:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256.lower():
        raise ArtifactError(
            f"weights file was altered: `{path}` has sha256 `{found}`",
            hint=f"expected is `{sha256.lower()}`",
        )
    return path
