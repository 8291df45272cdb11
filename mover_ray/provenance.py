"""What a result was made with: code, libraries, machine, and hashes of files."""

import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mover_ray

#: Libraries whose version can move a score or a file's layout.
LIBRARIES = (
    "av",
    "boto3",
    "dlib-bin",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pyarrow",
    "ray",
    "safetensors",
    "timm",
    "torch",
    "torchvision",
)

_ROOT = Path(mover_ray.__file__).parents[1]
_GIT_TIMEOUT_S = 10


def environment_facts() -> dict[str, Any]:
    """Gives what a run manifest says of code, libraries and machine; nothing personal."""
    return {
        "code": code_facts(),
        "libraries": library_versions(),
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
    }


def code_facts(root: Path = _ROOT) -> dict[str, Any]:
    """Gives version, and git revision where the code runs from a checkout.

    Args:
        root: The folder that would be the checkout.

    Returns:
        `version`; `revision`, null where there is no checkout or no git; `modified`,
        whether files differ from that revision, null with it.
    """
    revision = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain") if revision else None
    return {
        "version": mover_ray.__version__,
        "revision": revision,
        "modified": None if changes is None else bool(changes),
    }


def library_versions(names: tuple[str, ...] = LIBRARIES) -> dict[str, str | None]:
    """Gives installed versions without importing anything; null for what is absent."""
    return {name: _version(name) for name in names}


def sha256_file(path: Path) -> str:
    """Gives the hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_bytes(data: bytes) -> str:
    """Gives the hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def dump_json(content: Mapping[str, Any]) -> str:
    """Gives the one spelling of `content`: keys sorted, UTF-8, a newline at the end.

    Raises:
        ValueError: A number is not finite: JSON has no word for it.
    """
    text = json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n"


def utc_now() -> str:
    """Gives the time as `2026-01-31T12:00:00.000Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(root: Path, *arguments: str) -> str | None:
    """Gives git's answer about the checkout at `root`; null where it has none."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            [git, "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
