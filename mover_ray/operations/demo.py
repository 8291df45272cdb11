"""The demo: a small archive, an untrained model, and the rows that scoring gives."""

import csv
import io
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mover_ray.config import check_choice, gather
from mover_ray.errors import ConfigError
from mover_ray.models import bundle as bundles
from mover_ray.operations.demo_clips import clips, write_clip
from mover_ray.pipelines.progress import Progress, RunSummary
from mover_ray.pipelines.score import ScoreOptions, score

_MARKER = "demo.json"
_ARCHIVE = "archive"
_LABELS = "labels.csv"
_MODEL = "model"
_SCORES = "scores"

# One branch is enough to show what rows look like, in a fifth of the time of both.
_DETECTOR_SETTINGS = {"branches": ["finetuning"]}


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """Where the demo works and how."""

    out: Path
    """Folder that the demo fills; a new one, or that of an earlier demo."""
    seed: int = 0
    """Decides the camera's motion and the model's random weights."""
    engine: str = "auto"
    """`local`, `ray` or `auto`."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_choice(self, "engine", ("auto", "local", "ray"))


@dataclass(frozen=True, slots=True)
class DemoRow:
    """What a person wants to see of a result row."""

    name: str
    label: str | None
    method: str | None
    status: str
    score: float | None
    tracks: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """What the demo made."""

    summary: RunSummary
    rows: list[DemoRow]
    """One for each clip, in the order of `demo_clips.clips()`."""
    results: Path
    """Folder of the Parquet files."""

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        return {
            **self.summary.as_json(),
            "results": str(self.results),
            "rows": [asdict(row) for row in self.rows],
        }


def run_demo(config: DemoConfig, progress: Progress) -> DemoOutcome:
    """Makes the archive and the model where they are missing, and scores anew.

    Raises:
        ConfigError: The folder holds something else.
    """
    _claim(config)
    progress.message(f"making {len(clips())} short clips in {config.out / _ARCHIVE}")
    labels = build_archive(config.out, config.seed)
    model = _build_model(config)
    summary = score(
        ScoreOptions(
            source=str(labels),
            dest=str(config.out / _SCORES),
            model=str(model),
            engine=config.engine,
            allow_untrained=True,
            fresh=True,
            settings=gather(),
        ),
        progress,
    )
    results = config.out / _SCORES / "results"
    return DemoOutcome(summary, read_rows(results), results)


def build_archive(out: Path, seed: int) -> Path:
    """Writes the clips that are missing and a list with their labels.

    Returns:
        Path of the list: CSV with the columns `uri`, `label`, `method`, `dataset`.
    """
    folder = out / _ARCHIVE
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["uri", "label", "method", "dataset"])
    for clip in clips():
        write_clip(clip, folder, seed)
        writer.writerow([f"{_ARCHIVE}/{clip.name}", clip.label, clip.method, "demo"])
    labels = out / _LABELS
    labels.write_text(text.getvalue(), encoding="utf-8")
    return labels


def read_rows(results: Path) -> list[DemoRow]:
    """Reads back what scoring wrote, one row for each clip."""
    columns = ["uri", "label", "method", "status", "score", "num_tracks", "error"]
    found = {}
    for row in pq.read_table(results, columns=columns).to_pylist():
        name = Path(row.pop("uri")).name
        found[name] = DemoRow(name=name, tracks=row.pop("num_tracks"), **row)
    return [found[clip.name] for clip in clips()]


def _claim(config: DemoConfig) -> None:
    """Makes the folder the demo's own; what another seed left there is removed."""
    marker = config.out / _MARKER
    if marker.is_file():
        if json.loads(marker.read_text(encoding="utf-8")) == {"seed": config.seed}:
            return
        for name in (_ARCHIVE, _MODEL, _SCORES):
            shutil.rmtree(config.out / name, ignore_errors=True)
    elif config.out.exists() and (not config.out.is_dir() or any(config.out.iterdir())):
        raise ConfigError(
            f"the folder holds something else: `{config.out}`", hint="name a new one with --out"
        )
    config.out.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps({"seed": config.seed}), encoding="utf-8")


def _build_model(config: DemoConfig) -> Path:
    """Makes the untrained model anew: one of an older version may not fit this one."""
    model = config.out / _MODEL
    shutil.rmtree(model, ignore_errors=True)
    bundles.init(model, "mover", _DETECTOR_SETTINGS, seed=config.seed)
    return model
