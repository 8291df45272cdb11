"""The folder of a bundle: found, read, and written whole or not at all."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mover_ray.errors import ArtifactError, LocationError
from mover_ray.provenance import dump_json, sha256_bytes

CARD_NAME = "bundle.json"
WEIGHTS_NAME = "model.safetensors"

#: A real one has about 3 KiB; what is longer is not read.
_MAX_CARD_BYTES = 2**20
_PICKLES = frozenset({".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle"})
_LAYOUT = f"a bundle is a folder with {CARD_NAME} and {WEIGHTS_NAME}"


def find(path: str | Path) -> Path:
    """Gives the folder of a bundle.

    Raises:
        ArtifactError: Something else stands at `path`, or nothing.
    """
    if "://" in str(path):
        hint = "copy the bundle to a local folder first"
        raise ArtifactError(f"a bundle is read from a local folder: `{path}`", hint=hint)
    folder = Path(path)
    if folder.suffix.lower() in _PICKLES and not folder.is_dir():
        raise ArtifactError(f"pickled weights are never read: `{path}`", hint=_LAYOUT)
    if not folder.exists():
        hint = f"`mover-ray models init mover --out {path}` makes an untrained one"
        raise ArtifactError(f"no such bundle: `{path}`", hint=hint)
    if not folder.is_dir():
        hint = f"name the folder that holds {CARD_NAME}"
        raise ArtifactError(f"a bundle is a folder: `{path}`", hint=hint)
    if not (folder / CARD_NAME).is_file():
        raise ArtifactError(f"no bundle, there is no {CARD_NAME}: `{path}`", hint=_LAYOUT)
    return folder


def read_card(folder: Path) -> tuple[Any, str]:
    """Gives the JSON that describes a bundle, and the SHA-256 of its one spelling.

    Raises:
        ArtifactError: It cannot be read, is too long, or is no JSON.
    """
    path = folder / CARD_NAME
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_CARD_BYTES + 1)
    except OSError as error:
        raise ArtifactError(f"the bundle cannot be read: {error}") from error
    if len(text) > _MAX_CARD_BYTES:
        raise ArtifactError(f"{CARD_NAME} is longer than 1 MiB: `{path}`")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        return document, sha256_bytes(dump_json(document).encode())
    # Nesting a thousand levels deep ends in a RecursionError.
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{CARD_NAME} is no JSON: `{path}`: {error}") from error


@contextlib.contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Gives a folder to fill, which stands at `folder` once the block ends without an error.

    Raises:
        LocationError: `folder` exists or cannot be written.
    """
    require_absent(folder)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        draft.mkdir(parents=True)
        yield draft
        draft.rename(folder)
    except OSError as error:
        raise LocationError(f"the bundle cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def require_absent(folder: Path) -> None:
    """Raises `LocationError` if something stands there already."""
    if folder.exists():
        hint = "choose another folder; a bundle is never overwritten"
        raise LocationError(f"the destination exists: `{folder}`", hint=hint)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
