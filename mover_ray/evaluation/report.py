"""An evaluation as a table, as JSON and as CSV."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mover_ray.evaluation.aggregate import Figures
from mover_ray.evaluation.bootstrap import Estimate
from mover_ray.evaluation.published import Published

#: Figures that are shares, in the order of the table; `brier` and `ece` are none.
METRICS = (
    "auc",
    "auc_all",
    "ap",
    "eer",
    "tpr_at_1_percent",
    "tpr_at_0.1_percent",
    "balanced_accuracy",
    "brier",
    "ece",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a table."""

    run: str
    """Name of the results."""
    dataset: str
    part: str
    """Manipulation or range of coverage; empty for all of the data set."""
    unit: str
    """What was counted: `video`, `frame`, or `name` for videos that were merged by name."""
    figures: Figures
    published: tuple[Published, ...] = ()
    """What papers report for the same."""

    def as_json(self) -> dict[str, Any]:
        """Gives the line as the report holds it."""
        return {
            "run": self.run,
            "dataset": self.dataset,
            "part": self.part,
            "unit": self.unit,
            **self.figures.as_json(),
            "published": [asdict(one) for one in self.published],
        }


@dataclass(frozen=True, slots=True)
class MaskLine:
    """One line of the table of masks."""

    run: str
    """Name of the results."""
    dataset: str
    part: str
    """Manipulation; empty for all of the data set."""
    figures: Mapping[str, float | int | None]
    """Of `localization.MaskScore.as_json`."""

    def as_json(self) -> dict[str, Any]:
        """Gives the line as the report holds it."""
        return {"run": self.run, "dataset": self.dataset, "part": self.part, **self.figures}


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What one evaluation found."""

    protocol: str
    question: str
    split: str
    models: dict[str, str]
    """`model_sha256` by name of the results."""
    thresholds: dict[str, float]
    """Fixed on validation data, by name of the results."""
    lines: tuple[Line, ...]
    masks: tuple[MaskLine, ...] = ()
    """What masks are worth, where the protocol asks."""
    notes: tuple[str, ...] = ()
    """What a reader must know to read the figures, a sentence each."""
    quirks: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the intervals."""

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        own = ("protocol", "question", "split", "models", "thresholds", "settings")
        return {
            **{name: getattr(self, name) for name in own},
            "lines": [line.as_json() for line in self.lines],
            "masks": [line.as_json() for line in self.masks],
            "notes": list(self.notes),
            "quirks": list(self.quirks),
        }

    def as_csv(self) -> str:
        """Gives one row for each line, published figures left out."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        ends = [f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")]
        counts = ("fakes", "reals", "scored", "people")
        writer.writerow(["run", "dataset", "part", "unit", *counts, "coverage", *ends])
        for line in self.lines:
            said = [line.run, line.dataset, line.part, line.unit]
            numbers = [getattr(line.figures, name) for name in counts]
            writer.writerow([*said, *numbers, line.figures.coverage, *_ends(line.figures)])
        return buffer.getvalue()

    def masks_as_csv(self) -> str:
        """Gives one row for each line of the table of masks."""
        buffer = io.StringIO()
        names = list(self.masks[0].as_json()) if self.masks else []
        writer = csv.DictWriter(buffer, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(line.as_json() for line in self.masks)
        return buffer.getvalue()


def _ends(figures: Figures) -> Iterator[float | None]:
    for name in METRICS:
        one = figures.metrics.get(name)
        yield from (one.value, one.low, one.high) if one else (None, None, None)


def percent(one: Estimate | None) -> str:
    """Gives a share as `86.3 [84.0, 88.1]`, in percent; a dash where there is none."""
    if one is None:
        return "-"
    if one.low is None or one.high is None:
        return f"{one.value:.1%}".rstrip("%")
    return f"{one.value * 100:.1f} [{one.low * 100:.1f}, {one.high * 100:.1f}]"
