"""What `score`, `extract` and `forge` have in common: a source, a destination, an engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from mover_ray.config import Settings, for_command, read_section, to_mapping
from mover_ray.datasets import manifest as manifests
from mover_ray.errors import ConfigError
from mover_ray.models.view import View
from mover_ray.pipelines.costs import PricesConfig
from mover_ray.pipelines.job import PipelineConfig, StageSpec
from mover_ray.pipelines.ray_config import RayConfig
from mover_ray.pipelines.run import RunOptions
from mover_ray.schemas import FACES
from mover_ray.stages.base import Stage
from mover_ray.stages.faces import FindFaces
from mover_ray.status import RETRIED_BY_DEFAULT
from mover_ray.storage import S3Options, normalise, use_s3_options
from mover_ray.video.budget import VideoBudget
from mover_ray.video.isolation import demand_sandbox

#: Sections that only other commands know. One settings file serves them all: it
#: holds them as `[extract.faces]` or `[score.scoring]`.
_FOREIGN = {
    "score": ("faces", "sampling"),
    "extract": ("scoring",),
    "forge": ("faces", "sampling", "scoring"),
    "train": (),
    "serve": (),
}
_KEEPER = {"faces": "extract", "sampling": "extract", "scoring": "score"}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """The settings that every command has which looks at videos."""

    video: VideoBudget = field(default_factory=VideoBudget)
    """Limits of one video."""
    require_sandbox: bool = False
    """Have every worker refuse to decode where no sandbox works."""
    sampling_secret: str = ""
    """Makes it unpredictable to an uploader which frames are looked at."""
    s3: S3Options = field(default_factory=S3Options)
    """How workers speak with an S3 store."""
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    """How the work is cut and spread."""
    ray: RayConfig = field(default_factory=RayConfig)
    """How to reach or start Ray."""

    def find_faces(self, views: Sequence[View], *, with_masks: bool = False) -> StageSpec:
        """Gives the first stage; only training wants to know the masks of given fakes."""
        build = partial(
            FindFaces,
            tuple(views),
            self.video,
            self.sampling_secret,
            require_sandbox=self.require_sandbox,
            with_masks=with_masks,
        )
        return StageSpec(
            name="find-faces", build=partial(_build_with, self.s3, build), schema=FACES
        )

    def shaping(self, views: Sequence[View]) -> Settings:
        """Gives every setting that can change what the first stage finds, and no other."""
        first, *others = (to_mapping(view) for view in views)
        return {
            **first,
            **({"others": others} if others else {}),
            "video": to_mapping(self.video),
            "sampling_secret": self.sampling_secret,
        }

    def record(self) -> Settings:
        """Gives every setting for the run's record, the secret left out."""
        return to_mapping(self) | {"sampling_secret": bool(self.sampling_secret)}


def _build_with(s3: S3Options, build: Callable[[], Stage]) -> Stage:
    use_s3_options(s3)
    return build()


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceOptions:
    """The options of one command line, before settings are resolved."""

    source: str
    """Folder, video, `s3://` prefix, CSV or Parquet list, or `manifest.json` of an S3 Inventory."""
    dest: str
    """Folder or `s3://` prefix for the rows."""
    include: tuple[str, ...] = ()
    """Only files that match one of these globs."""
    exclude: tuple[str, ...] = ()
    """No files that match one of these globs."""
    limit: int | None = None
    """At most so many videos."""
    sample: str | None = None
    """A random share of the videos, such as `1%`; the same ones every time."""
    since: tuple[str, ...] = ()
    """Destinations of earlier runs; only what is new or changed since then is looked at."""
    retry: tuple[str, ...] | None = None
    """Statuses to compute again; None for those that may have passed."""
    fresh: bool = False
    """Set aside what is at the destination and start over."""
    engine: str = "auto"
    """`local`, `ray` or `auto`."""
    address: str | None = None
    """Ray cluster to join."""
    require_sandbox: bool = False
    """Refuse to decode where no sandbox works, here and on every worker."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Nested settings, as `config.gather` gives them."""

    def manifest(self) -> manifests.BuiltManifest:
        """Lists the source.

        Raises:
            LocationError: There is no such source, or no video in it.
        """
        return manifests.build(
            normalise(self.source),
            include=self.include,
            exclude=self.exclude,
            limit=self.limit,
            sample=None if self.sample is None else manifests.parse_sample(self.sample),
        )

    def settings_of(self, command: str) -> Settings:
        """Gives the settings that one command sees.

        Raises:
            ConfigError: A section means nothing to the command.
        """
        settings = for_command(dict(self.settings), command, tuple(_FOREIGN))
        for section in _FOREIGN[command]:
            if section in settings:
                raise ConfigError(
                    f"`{section}` cannot be set for `{command}`",
                    hint=f"for `{_KEEPER[section]}` alone, write `{_KEEPER[section]}.{section}`",
                )
        return {**settings, "require_sandbox": True} if self.require_sandbox else settings

    def run_options(self, config: RunConfig) -> RunOptions:
        """Gives what the run needs of these options."""
        ray = config.ray
        if self.address is not None:
            ray = replace(ray, address=self.address)
        retry = RETRIED_BY_DEFAULT if self.retry is None else self.retry
        return RunOptions(
            dest=normalise(self.dest),
            engine=self.engine,
            since=tuple(map(normalise, self.since)),
            retry=retry,
            fresh=self.fresh,
            pipeline=config.pipeline,
            ray=ray,
        )

    def prices(self) -> PricesConfig:
        """Gives what machines cost, as far as the settings say."""
        return read_section(PricesConfig, dict(self.settings), "prices")

    def check_sandbox(self) -> None:
        """Raises `ConfigError` if a sandbox is asked for and none works here."""
        if self.require_sandbox:
            demand_sandbox()
