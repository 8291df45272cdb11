"""Gives a bundle the calibration and the thresholds that its validation results call for."""

import dataclasses
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mover_ray.config import check_choice, check_range, to_mapping
from mover_ray.errors import ConfigError
from mover_ray.evaluation.calibration import (
    METHODS,
    Alarms,
    Method,
    Sample,
    count_alarms,
    find_thresholds,
    fit,
    probabilities,
)
from mover_ray.evaluation.metrics import brier_score, expected_calibration_error
from mover_ray.evaluation.videos import Videos
from mover_ray.models import bundle as bundles
from mover_ray.models import ensemble as ensembles
from mover_ray.models.bundle_card import ModelCard, Training
from mover_ray.models.calibration import Calibration, Threshold
from mover_ray.models.ensemble import Ensemble
from mover_ray.models.load_model import Model, load_model
from mover_ray.operations.result_sets import ResultSet, read_result_set


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrateOptions:
    """What `models calibrate` was asked to do."""

    bundle: str
    """Folder of the bundle that scored."""
    results: str
    """Destination of `score` with that bundle."""
    split: str = "val"
    """Split to fit on; never `test`."""
    method: Method = "temperature"
    """`temperature` or `isotonic`."""
    prevalence: float = 1e-3
    """Share of fakes in the archive that false alarms are told for."""
    manifest: str | None = None
    """Where labels come from; the run's own manifest by default."""
    out: str | None = None
    """Folder of the bundle to write; None writes nothing."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a method that does not exist, or for test data."""
        check_choice(self, "method", METHODS)
        check_range(self, "prevalence", 1e-9, 0.5)
        if self.split == "test":
            raise ConfigError(
                "a model is not calibrated on test data", hint="score the validation split"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibrated:
    """What was fitted, and what it does on the videos that it was fitted on."""

    calibration: Calibration
    thresholds: tuple[Threshold, ...]
    alarms: list[Alarms]
    real_videos: int
    fake_videos: int
    before: dict[str, float]
    """`ece` and `brier` of the scores as they were."""
    after: dict[str, float]
    """The same of the new ones."""
    model_sha256: str | None
    """Of the new bundle; None if none was written."""

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        own = ("real_videos", "fake_videos", "before", "after", "model_sha256")
        return {
            **{name: getattr(self, name) for name in own},
            "calibration": to_mapping(self.calibration),
            "thresholds": [to_mapping(one) for one in self.thresholds],
            "alarms": [{"per_hit": one.per_hit, "found": one.found} for one in self.alarms],
            "sentences": [one.sentence() for one in self.alarms],
        }


def calibrate(options: CalibrateOptions) -> Calibrated:
    """Fits calibration and thresholds; writes a new bundle where one is asked for.

    Raises:
        ArtifactError: There is no such bundle.
        ConfigError: Another model made the results, or there are too few videos.
        LocationError: There are no such results, or `out` exists.
    """
    model = load_model(options.bundle)
    results = read_result_set(options.results, options.manifest)
    videos = _validation_videos(model, results, options.split)
    sample = Sample(videos.fake, videos.logits, videos.num_tracks)
    calibration = fit(sample, options.method)
    scores = probabilities(calibration, sample)
    thresholds = find_thresholds(scores, sample)
    written = None
    if options.out:
        training = _noted(model.training, _note(options, videos))
        written = _write(Path(options.out), model, calibration, thresholds, training)
    return Calibrated(
        calibration=calibration,
        thresholds=thresholds,
        alarms=count_alarms(thresholds, scores, sample, options.prevalence),
        real_videos=int((~sample.fake).sum()),
        fake_videos=int(sample.fake.sum()),
        before=_errors(sample, model.calibration),
        after=_errors(sample, calibration),
        model_sha256=written.model_sha256 if written else None,
    )


def _validation_videos(model: Model, results: ResultSet, split: str) -> Videos:
    if results.model_sha256 != model.model_sha256:
        raise ConfigError(
            f"another model made the results: `{results.destination.base}`",
            hint="score the validation videos with the bundle that is to be calibrated",
        )
    videos = results.videos.of_split(split)
    return videos.select(videos.scored)


def _errors(sample: Sample, calibration: Calibration) -> dict[str, float]:
    scores = probabilities(calibration, sample)
    return {
        "ece": expected_calibration_error(sample.fake, scores),
        "brier": brier_score(sample.fake, scores),
    }


def _note(options: CalibrateOptions, videos: Videos) -> str:
    datasets = ", ".join(sorted(set(videos.dataset) - {""})) or "videos without a data set"
    what = f"calibrated ({options.method}) on {len(videos)} videos of split {options.split}"
    return f"{what}: {datasets}"


def _noted(training: Training, note: str) -> Training:
    notes = f"{training.notes}; {note}" if training.notes else note
    return dataclasses.replace(training, notes=notes)


def _write(
    out: Path,
    model: Model,
    calibration: Calibration,
    thresholds: tuple[Threshold, ...],
    training: Training,
) -> Model:
    changes: dict[str, Any] = {
        "calibration": calibration,
        "thresholds": thresholds,
        "training": training,
    }
    if isinstance(model, Ensemble):
        return ensembles.save(out, ensembles.recarded(model, **changes), model.members)
    card = ModelCard(**{item.name: getattr(model, item.name) for item in fields(ModelCard)})
    changed = dataclasses.replace(card, **changes)
    return bundles.save(out, changed, model.detector(), model.weights.storage)
