"""Checkpoints: whole or not there, of this configuration or refused, never a pickle.

A checkpoint is a folder named by the number of steps behind it. It appears by one
rename, after every file in it has reached the disk. `state.json` says what the tensors
belong to and their hashes. States of random generators are not kept: every draw is a
function of the seed and the position, see `loop`.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mover_ray.errors import ArtifactError, LocationError
from mover_ray.provenance import dump_json, sha256_file

STATE_NAME = "state.json"
_FORMAT = 1
_ABSENT = "(absent)"

Tensors = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Everything that a training needs to go on."""

    steps: int
    """Optimizer steps behind it."""
    tensors: dict[str, Tensors]
    """By group (`model`, `optimizer`, …), then by name."""
    progress: dict[str, Any] = field(default_factory=dict)
    """Position, sums and records: plain JSON values, none of them infinite."""
    score: float | None = None
    """What validation gave, higher is better; None between validations."""


class Checkpoints:
    """The checkpoints of one training, on a local disk."""

    def __init__(self, folder: Path, config: Mapping[str, Any], keep: int = 2) -> None:
        """Prepares to read and write; touches nothing yet.

        Args:
            folder: Holds one folder a checkpoint.
            config: Every setting that the weights depend on, as plain nested values;
                a checkpoint with others is refused.
            keep: How many of the newest stay, beside the best.
        """
        self._folder = folder
        self._config = json.loads(json.dumps(config))
        self._keep = keep

    def newest(self) -> Path | None:
        """Gives the checkpoint with the most steps; None at the start."""
        return max(self._all(), key=_steps_of, default=None)

    def best(self) -> Path | None:
        """Gives the checkpoint with the highest score; None without validated ones."""
        scored = [
            (score, -_steps_of(path), path) for path, score in self._scores() if score is not None
        ]
        return max(scored)[2] if scored else None

    def save(self, snapshot: Snapshot) -> Path:
        """Writes a checkpoint and removes those that are neither new nor the best.

        Raises:
            LocationError: The disk is full or cannot be written; what was there stays.
        """
        path = self._folder / f"{snapshot.steps:09d}"
        draft = self._folder / f".{path.name}.{os.getpid()}.tmp"
        try:
            draft.mkdir(parents=True)
            self._write(draft, snapshot)
            draft.rename(path)
            _sync(self._folder)
        except (OSError, SafetensorError) as error:
            raise LocationError(
                f"the checkpoint of step {snapshot.steps} cannot be written: `{path}`: {error}",
                hint="earlier checkpoints are whole; make room and run the same command again",
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._prune()
        return path

    def load(self, path: Path) -> Snapshot:
        """Reads a checkpoint.

        Raises:
            ArtifactError: It is damaged, or belongs to another configuration.
        """
        state = _read_state(path)
        differing = differing_fields(state["config"], self._config)
        if differing:
            raise ArtifactError(
                f"the checkpoint is of another configuration: `{path}`: {', '.join(differing)}",
                hint="use the same settings, or another output folder",
            )
        return Snapshot(
            steps=state["steps"],
            tensors={
                group: _read_tensors(path / _tensor_file(group), sha256)
                for group, sha256 in state["files"].items()
            },
            progress=state["progress"],
            score=state["score"],
        )

    def clean(self) -> None:
        """Removes what a killed process left half written or half removed."""
        for path in self._folder.glob(".*.tmp"):
            shutil.rmtree(path, ignore_errors=True)

    def _all(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("[0-9]*") if path.name.isdecimal())

    def _scores(self) -> list[tuple[Path, float | None]]:
        return [(path, _read_state(path)["score"]) for path in self._all()]

    def _write(self, draft: Path, snapshot: Snapshot) -> None:
        files = {}
        for group, tensors in snapshot.tensors.items():
            file = draft / _tensor_file(group)
            # A copy of each: safetensors refuses tensors that share their memory.
            copies = {name: value.detach().cpu().clone() for name, value in tensors.items()}
            save_file({name: value.contiguous() for name, value in copies.items()}, file)
            _sync(file)
            files[group] = sha256_file(file)
        document = {
            "format": _FORMAT,
            "steps": snapshot.steps,
            "score": snapshot.score,
            "progress": snapshot.progress,
            "config": self._config,
            "files": files,
        }
        (draft / STATE_NAME).write_text(dump_json(document), encoding="utf-8")
        _sync(draft / STATE_NAME)
        _sync(draft)

    def _prune(self) -> None:
        kept = {*self._all()[-self._keep :], self.best()}
        for path in self._all():
            if path not in kept:
                # Renamed first: a kill amid the removal leaves no half checkpoint.
                doomed = path.with_name(f".{path.name}.{os.getpid()}.tmp")
                with contextlib.suppress(OSError):
                    path.rename(doomed)
                shutil.rmtree(doomed, ignore_errors=True)


def read_weights(path: Path) -> Tensors:
    """Gives the weights of a checkpoint that are to be used: the averaged ones if there are.

    Args:
        path: What `loop.train` gave.

    Raises:
        ArtifactError: It is damaged.
    """
    files = _read_state(path)["files"]
    groups = {
        group: _read_tensors(path / _tensor_file(group), files[group])
        for group in ("model", "ema")
        if group in files
    }
    averages = groups.get("ema", {})
    return {name: averages.get(name, value) for name, value in groups["model"].items()}


def differing_fields(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Gives `section.field: was a, is b` for every field in which two configs differ."""
    before, now = _flat(one), _flat(other)
    return [
        f"`{name}` was {before.get(name, _ABSENT)}, is {now.get(name, _ABSENT)}"
        for name in sorted({*before, *now})
        if before.get(name, _ABSENT) != now.get(name, _ABSENT)
    ]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        nested = isinstance(value, Mapping) and value
        flat.update(_flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value})
    return flat


def _steps_of(path: Path) -> int:
    return int(path.name)


def _tensor_file(group: str) -> str:
    return f"{group}.safetensors"


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((path / STATE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"no checkpoint: `{path}`: {error}") from error
    if state.get("format") != _FORMAT:
        raise ArtifactError(f"the checkpoint has an unknown format: `{path}`")
    return state


def _read_tensors(file: Path, sha256: str) -> Tensors:
    hint = f"remove {file.parent} to go on from the checkpoint before it"
    try:
        if sha256_file(file) != sha256:
            raise ArtifactError(f"the checkpoint was altered: `{file}`", hint=hint)
        tensors: Tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        message = f"the checkpoint cannot be read: `{file}`: {error}"
        raise ArtifactError(message, hint=hint) from error
    return tensors


def _sync(path: Path) -> None:
    """Waits until a file or folder has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
