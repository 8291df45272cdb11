"""The main job: videos in, one row of results each out."""

import functools
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mover_ray.config import fingerprint, from_mapping, merge
from mover_ray.errors import ArtifactError
from mover_ray.models.load_model import Model, load_model
from mover_ray.pipelines.dry_run import DryRun, probe
from mover_ray.pipelines.job import Job, StageSpec
from mover_ray.pipelines.options import RunConfig, SourceOptions
from mover_ray.pipelines.progress import Progress, RunSummary
from mover_ray.pipelines.run import run
from mover_ray.schemas import RESULT
from mover_ray.stages.base import Stage
from mover_ray.stages.scoring_config import ScoringConfig

if TYPE_CHECKING:
    from mover_ray.models.base import Detector


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreConfig(RunConfig):
    """Every setting of `score`. Sampling and faces are the model's own."""

    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """How the detector is run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreOptions(SourceOptions):
    """What the command `score` was asked to do."""

    model: str | None = None
    """Model bundle."""
    masks: str | None = None
    """`all`, `top` or `none`; None leaves it to the settings."""
    allow_untrained: bool = False
    """Accept a model with random weights."""


def score(options: ScoreOptions, progress: Progress) -> RunSummary:
    """Scores a source into a destination.

    Raises:
        ConfigError: A setting is wrong.
        ArtifactError: There is no usable model.
        LocationError: There is no such source or destination.
        HeldError: The destination is held or belongs to another model.
    """
    options.check_sandbox()
    job, config = plan(options)
    return run(job, options.manifest(), options.run_options(config), progress)


def dry_run(options: ScoreOptions) -> DryRun:
    """Says what `score` would do, from a sample of the videos; writes nothing."""
    options.check_sandbox()
    job, config = plan(options)
    return probe(job, options.manifest(), options.run_options(config), options.prices())


def plan(options: ScoreOptions) -> tuple[Job, ScoreConfig]:
    """Gives the job and the resolved settings; reads the model, but not the source."""
    settings = options.settings_of("score")
    if options.masks is not None:
        settings = merge(settings, {"scoring": {"masks": options.masks}})
    config = from_mapping(ScoreConfig, settings)
    model = open_model(options.model, allow_untrained=options.allow_untrained)
    return _job(model, _absolute(str(options.model)), config), config


def open_model(name: str | None, *, allow_untrained: bool) -> Model:
    """Reads what a model says of itself; torch is not needed for that.

    Raises:
        ArtifactError: It is missing, altered or untrained.
    """
    if name is None:
        raise ArtifactError(
            "no model is given, and none ships with this version",
            hint="`--model BUNDLE`; `mover-ray models init mover --out BUNDLE` makes one to try",
        )
    model = load_model(_absolute(name))
    if not model.trained and not allow_untrained:
        raise ArtifactError(
            f"model is not trained: `{name}`",
            hint="its scores mean nothing; `--allow-untrained` accepts it all the same",
        )
    return model


def _job(model: Model, path: str, config: ScoreConfig) -> Job:
    shaping = config.shaping(model.views)
    shaping |= {"masks": config.scoring.masks, "threads": config.scoring.threads}
    mark = fingerprint(shaping)
    return Job(
        folder="results",
        prepare=config.find_faces(model.views),
        finish=StageSpec(
            name="score",
            build=partial(_build_scorer, path, config.scoring),
            schema=RESULT,
            stamp={"config_fingerprint": mark},
        ),
        check=partial(_load, path),
        identity={"command": "score", "model": model.model_sha256, "configuration": mark},
        settings=config.record(),
        model={
            "model_id": model.model_id,
            "model_sha256": model.model_sha256,
            "trained": model.trained,
        },
    )


def _absolute(name: str) -> str:
    """Gives the name of a model folder as workers in other folders must spell it."""
    return name if "://" in name else str(Path(name).absolute())


@functools.lru_cache(maxsize=1)
def _load(path: str) -> "tuple[Model, list[Detector]]":
    """Loads a model once a process: to check it first, and then to score with it."""
    model = load_model(path)
    return model, [member.detector() for member in model.members]


def _build_scorer(path: str, config: ScoringConfig) -> Stage:
    from mover_ray.stages.scorers import build_scorer  # torch takes seconds to import

    return build_scorer(*_load(path), config)
