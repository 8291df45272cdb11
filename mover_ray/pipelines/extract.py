"""Aligned crops, landmarks and facial parts of every video: the training corpus."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mover_ray.config import fingerprint, from_mapping, to_mapping
from mover_ray.faces.policy import FacePolicy
from mover_ray.pipelines.dry_run import DryRun, probe
from mover_ray.pipelines.job import Job, PipelineConfig, StageSpec
from mover_ray.pipelines.options import SourceOptions
from mover_ray.pipelines.progress import Progress, RunSummary
from mover_ray.pipelines.ray_config import RayConfig
from mover_ray.pipelines.run import run
from mover_ray.provenance import dump_json
from mover_ray.schemas import EXTRACT, FACES
from mover_ray.stages.encode import EncodeCrops
from mover_ray.stages.faces import FindFaces
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractConfig:
    """Every setting of `extract`."""

    faces: FacePolicy = field(default_factory=FacePolicy)
    """Which faces and how they are cropped."""
    sampling: SamplingPolicy = field(default_factory=SamplingPolicy)
    """Which frames."""
    video: VideoBudget = field(default_factory=VideoBudget)
    """Limits of one video."""
    sampling_secret: str = ""
    """Makes it unpredictable to an uploader which frames are looked at."""
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    """How the work is cut and spread."""
    ray: RayConfig = field(default_factory=RayConfig)
    """How to reach or start Ray."""


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
    run_options = options.run_options(config.pipeline, config.ray)
    return run(plan(config), options.manifest(), run_options, progress)


def dry_run(options: ExtractOptions) -> DryRun:
    """Says what `extract` would do, from a sample of the videos; writes nothing."""
    options.check_sandbox()
    config = resolve(options)
    run_options = options.run_options(config.pipeline, config.ray)
    return probe(plan(config), options.manifest(), run_options)


def resolve(options: ExtractOptions) -> ExtractConfig:
    """Gives the settings of `extract`; an unknown one raises `ConfigError`."""
    return from_mapping(ExtractConfig, options.settings_of("extract"))


def plan(config: ExtractConfig) -> Job:
    """Gives the job for these settings."""
    shaping: dict[str, Any] = {
        "faces": to_mapping(config.faces),
        "sampling": to_mapping(config.sampling),
        "video": to_mapping(config.video),
        "sampling_secret": config.sampling_secret,
    }
    metadata = {"mover_ray.faces": dump_json(shaping["faces"])}
    return Job(
        kind="extract",
        folder="crops",
        prepare=StageSpec(
            name="find-faces",
            build=partial(
                FindFaces, config.faces, config.sampling, config.video, config.sampling_secret
            ),
            schema=FACES,
        ),
        finish=StageSpec(
            name="encode",
            build=partial(EncodeCrops, config.faces.size_px),
            schema=EXTRACT.with_metadata(metadata),
        ),
        identity={"command": "extract", "configuration": fingerprint(shaping)},
        settings=to_mapping(config) | {"sampling_secret": bool(config.sampling_secret)},
    )
