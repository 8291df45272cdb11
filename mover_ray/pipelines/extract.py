"""Aligned crops, landmarks and facial parts of every video: the training corpus."""

from dataclasses import dataclass, field
from functools import partial

from mover_ray.config import fingerprint, from_mapping
from mover_ray.faces.policy import FacePolicy
from mover_ray.models.view import View
from mover_ray.pipelines.dry_run import DryRun, probe
from mover_ray.pipelines.job import Job, StageSpec
from mover_ray.pipelines.options import RunConfig, SourceOptions
from mover_ray.pipelines.progress import Progress, RunSummary
from mover_ray.pipelines.run import run
from mover_ray.provenance import dump_json
from mover_ray.schemas import EXTRACT
from mover_ray.stages.encode import EncodeCrops
from mover_ray.video.sampling import SamplingPolicy


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractConfig(RunConfig):
    """Every setting of `extract`."""

    faces: FacePolicy = field(default_factory=FacePolicy)
    """Which faces and how they are cropped."""
    sampling: SamplingPolicy = field(default_factory=SamplingPolicy)
    """Which frames."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractOptions(SourceOptions):
    """What the command `extract` was asked to do."""


def extract(options: ExtractOptions, progress: Progress) -> RunSummary:
    """Extracts the faces of a source into a destination.

    Raises:
        ConfigError: A setting is wrong.
        LocationError: There is no such source or destination.
        HeldError: The destination is held or has other settings.
    """
    options.check_sandbox()
    config = resolve(options)
    return run(plan(config), options.manifest(), options.run_options(config), progress)


def dry_run(options: ExtractOptions) -> DryRun:
    """Says what `extract` would do, from a sample of the videos; writes nothing."""
    options.check_sandbox()
    config = resolve(options)
    return probe(plan(config), options.manifest(), options.run_options(config), options.prices())


def resolve(options: ExtractOptions) -> ExtractConfig:
    """Gives the settings of `extract`; an unknown one raises `ConfigError`."""
    return from_mapping(ExtractConfig, options.settings_of("extract"))


def plan(config: ExtractConfig) -> Job:
    """Gives the job for these settings."""
    view = View(faces=config.faces, sampling=config.sampling)
    shaping = config.shaping((view,))
    metadata = {"mover_ray.faces": dump_json(shaping["faces"])}
    return Job(
        folder="crops",
        prepare=config.find_faces((view,), with_masks=True),
        finish=StageSpec(
            name="encode",
            build=partial(EncodeCrops, config.faces.size_px),
            schema=EXTRACT.with_metadata(metadata),
        ),
        identity={"command": "extract", "configuration": fingerprint(shaping)},
        settings=config.record(),
    )
