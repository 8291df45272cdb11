"""Metrics as JSON lines, and the curves that a writer draws of them."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mover_ray.errors import LocationError
from mover_ray.training.world import ScalarWriter

Values = Mapping[str, float]


class MetricsLog:
    """Appends one JSON object a line; a resumed training leaves no line twice."""

    def __init__(self, path: Path, scalars: ScalarWriter | None = None) -> None:
        """Takes the file, which need not exist, and who else wants the metrics."""
        self._path = path
        self._scalars = scalars

    def rewind(self, steps: int) -> None:
        """Drops the lines of later steps, and one that a kill cut in half."""
        if not self._path.exists():
            return
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [
            line for line in lines if line.endswith("\n") and json.loads(line)["steps"] <= steps
        ]
        draft = self._path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text("".join(kept), encoding="utf-8")
        draft.replace(self._path)

    def write(self, kind: str, steps: int, values: Values) -> None:
        """Writes one line.

        Args:
            kind: `step` or `epoch`.
            steps: Optimizer steps done so far.
            values: By name; what is not finite becomes null.

        Raises:
            LocationError: The disk is full or cannot be written.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        line = json.dumps({"kind": kind, "steps": steps, **finite})
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except OSError as error:
            raise LocationError(f"metrics cannot be written: `{self._path}`: {error}") from error
        if self._scalars is not None:
            for name, value in values.items():
                self._scalars.add_scalar(f"{kind}/{name}", value, steps)


def area_under_roc(scores: npt.NDArray[np.float64], is_fake: npt.NDArray[np.bool_]) -> float:
    """Gives the share of (fake, real) couples in which the fake has the higher score.

    Equal scores count half. `evaluation` has the measures that are reported; this one
    only chooses a checkpoint.

    Args:
        scores: Of videos, [V].
        is_fake: [V]; both kinds must occur.
    """
    _, ranks, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    num_fake = int(is_fake.sum())
    above = middle[ranks][is_fake].sum() - num_fake * (num_fake + 1) / 2
    return float(above / (num_fake * (len(scores) - num_fake)))
