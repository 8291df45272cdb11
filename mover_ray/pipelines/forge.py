"""A corpus of pseudo-fakes, in two runs: survey the sources, then forge file by file.

The survey lies under `DEST/_sources` with a manifest, attempts and proof of its own. The
second run's manifest is the plan of the corpus: a row for each file that is to be made.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mover_ray.config import fingerprint, from_mapping, merge, to_mapping
from mover_ray.datasets.manifest import BuiltManifest
from mover_ray.datasets.passed_over import PassedOver
from mover_ray.errors import ConfigError, LocationError
from mover_ray.forge import corpus
from mover_ray.forge.base import Clip, Manipulation
from mover_ray.forge.corpus import Layout, SplitConfig
from mover_ray.forge.registry import MANIPULATIONS, build_manipulation
from mover_ray.pipelines import attempt as attempts
from mover_ray.pipelines import forged_files
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.job import Job, StageSpec
from mover_ray.pipelines.options import RunConfig, SourceOptions
from mover_ray.pipelines.progress import Progress, RunSummary
from mover_ray.pipelines.run import run
from mover_ray.schemas import FORGED, FORGING, SURVEY
from mover_ray.stages.base import Row, Stage
from mover_ray.stages.forge import (
    ClipReader,
    FaceClip,
    ForgeClips,
    Frames,
    Masks,
    Recipe,
    StoreFiles,
)
from mover_ray.stages.survey import SurveyClips, SurveyConfig
from mover_ray.storage import join, normalise
from mover_ray.storage.uris import as_folder
from mover_ray.video.encode import EncoderConfig

_SURVEY = "_sources"
# Settings that change files; methods do not, they add some.
_SHAPING = ("survey", "video", "dataset", "split", "encoder", "manipulations")


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgeConfig(RunConfig):
    """Every setting of `forge`."""

    methods: tuple[str, ...] = ()
    """Manipulations: keys of `forge.registry.MANIPULATIONS`."""
    seed: int = 0
    """Decides who goes into which split and how strong each manipulation is."""
    dataset: str = "forged"
    """Name of the corpus in its manifest."""
    survey: SurveyConfig = field(default_factory=SurveyConfig)
    """What part of a video is forged."""
    split: SplitConfig = field(default_factory=SplitConfig)
    """How people are shared out."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """How real and fake files are written, once each."""
    manipulations: Mapping[str, Any] = field(default_factory=dict)
    """Settings of manipulations, by name."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        if not self.methods:
            known = ",".join(MANIPULATIONS)
            raise ConfigError("no manipulation is named", hint=f"`--methods {known}`, or fewer")
        if self.seed < 0:
            raise ConfigError(f"seed is too small: `{self.seed}`", hint="the least is 0")
        for name in (*self.methods, *self.manipulations):
            self.build(name)

    def build(self, name: str) -> Manipulation:
        """Builds a manipulation; a wrong name or setting raises `ConfigError`."""
        return build_manipulation(name, self.manipulations.get(name, {}))

    def takes_partner(self) -> dict[str, bool]:
        """Gives for each manipulation, by name, whether it takes a partner."""
        return {name: self.build(name).needs_partner for name in self.methods}

    def identity(self, sources: pa.Table) -> dict[str, str]:
        """Gives what the files depend on; methods can be added to a corpus."""
        settings = to_mapping(self)
        return {
            "command": "forge",
            "source": fingerprint({"ids": sorted(sources["video_id"].to_pylist())}),
            "seed": str(self.seed),
            "configuration": fingerprint({name: settings[name] for name in _SHAPING}),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgeOptions(SourceOptions):
    """What the command `forge` was asked to do."""

    methods: tuple[str, ...] | None = None
    """Manipulations; None leaves it to the settings."""
    seed: int | None = None
    """Of the corpus; None leaves it to the settings."""
    crf: int | None = None
    """Quality of the files; None leaves it to the settings."""


def forge(options: ForgeOptions, progress: Progress) -> RunSummary:
    """Makes a corpus of a source's real videos and forgeries of them.

    Raises:
        ConfigError: A setting is wrong, or the source's manifest.
        LocationError: There is no such source or destination, or it holds something else.
        HeldError: The destination is held or holds another corpus.
    """
    corpus_run = CorpusRun(options)
    corpus_run.survey(progress)
    return corpus_run.forge(progress)


class CorpusRun:
    """The two runs that make a corpus; the second one needs the first one finished."""

    def __init__(self, options: ForgeOptions) -> None:
        """Resolves the settings, lists the source and looks at the destination; see `forge`."""
        options.check_sandbox()
        self._config = resolve(options)
        self._options = options.run_options(self._config)
        dest = self._options.dest
        _check_place(normalise(options.source), dest)
        self._destination = Destination(dest, forged_files.FOLDER)
        self._surveyed = Destination(join(dest, _SURVEY), "clips")
        self._sources = _real_only(options.manifest())
        self._identity = self._config.identity(self._sources.table)
        if not options.fresh:
            attempts.check(self._destination, self._identity)
        forged_files.check_unclaimed(self._destination)

    def survey(self, progress: Progress) -> RunSummary:
        """Follows the face of every source video."""
        progress.message(f"following the faces of {self._sources.table.num_rows} videos")
        job = _survey_job(self._config, self._identity, self._surveyed)
        options = replace(self._options, dest=self._surveyed.base)
        return run(job, self._sources, options, progress)

    def forge(self, progress: Progress) -> RunSummary:
        """Makes the files, and proves that they are there."""
        planned = self._plan()
        progress.message(f"making {planned.num_rows} files")
        job = _forge_job(self._config, self._identity, self._destination, self._surveyed)
        summary = run(job, BuiltManifest(planned), self._options, progress)
        forged_files.finish(self._destination)
        return replace(summary, passed_over=self._sources.passed_over_by_reason())

    def _plan(self) -> pa.Table:
        """Plans the files and writes down which source has which number.

        What an earlier start has planned stays as it is.
        """
        config, destination = self._config, self._destination
        old = None if self._options.fresh else destination.read_manifest()
        planned = [] if old is None else old.to_pylist()
        sources = forged_files.rows_in_order(self._surveyed)
        originals = corpus.number_originals(
            sources, config.split, config.seed, corpus.sides_in(planned)
        )
        partners = corpus.choose_partners(originals, corpus.partners_in(planned))
        layout = Layout(destination.base, f"c{config.encoder.crf}")
        forged_files.write_sources(destination.base, originals, partners)
        forged_files.write_splits(layout, corpus.split_lists(originals, partners))
        return corpus.plan_files(
            originals, partners, config.takes_partner(), layout, config.dataset
        )


def resolve(options: ForgeOptions) -> ForgeConfig:
    """Gives the settings of `forge`; a wrong one raises `ConfigError`."""
    settings = options.settings_of("forge")
    if options.methods is not None:
        settings["methods"] = list(options.methods)
    if options.seed is not None:
        settings["seed"] = options.seed
    if options.crf is not None:
        settings = merge(settings, {"encoder": {"crf": options.crf}})
    return from_mapping(ForgeConfig, settings)


def _check_place(source: str, dest: str) -> None:
    """Refuses a destination that the next start would find among its sources."""
    if as_folder(dest).startswith(as_folder(source)):
        raise ConfigError(
            f"the destination lies inside the source: `{dest}`", hint="name another --out"
        )


def _real_only(built: BuiltManifest) -> BuiltManifest:
    """Leaves out what is labelled fake: nobody knows what is wrong with it.

    Raises:
        LocationError: Nothing is left.
    """
    fake = pc.fill_null(pc.equal(built.table["label"], "fake"), fill_value=False)
    left_out = PassedOver(
        (uri, "labelled fake") for uri in built.table["uri"].filter(fake).to_pylist()
    )
    table = built.table.filter(pc.invert(fake))
    if not table.num_rows:
        raise LocationError("every video of the source is labelled fake", hint="forge real ones")
    return BuiltManifest(table, built.passed_over.joined(left_out))


def _survey_job(config: ForgeConfig, identity: Mapping[str, str], surveyed: Destination) -> Job:
    build = partial(
        SurveyClips,
        config.survey,
        config.video,
        _landmarks(surveyed.base),
        require_sandbox=config.require_sandbox,
    )
    return Job(
        folder=surveyed.folder,
        prepare=StageSpec(name="survey", build=build, schema=SURVEY),
        finish=StageSpec(name="keep", build=_Keep, schema=SURVEY),
        identity=identity,
        settings=config.record(),
    )


def _forge_job(
    config: ForgeConfig,
    identity: Mapping[str, str],
    destination: Destination,
    surveyed: Destination,
) -> Job:
    build = partial(_build_forge, config, destination.base, surveyed.base)
    return Job(
        folder=destination.folder,
        prepare=StageSpec(name="forge", build=build, schema=FORGING),
        finish=StageSpec(name="store", build=StoreFiles, schema=FORGED),
        identity=identity,
        settings=config.record(),
    )


def _build_forge(config: ForgeConfig, dest: str, surveyed: str) -> Stage:
    return ForgeClips(
        _Forger(config),
        _Recipes(forged_files.read_sources(dest), config),
        config.encoder,
        ClipReader(config.survey, config.video, _landmarks(surveyed)),
    )


def _landmarks(surveyed: str) -> str:
    return join(surveyed, "landmarks")


class _Keep:
    """The survey has but one stage: its second one changes nothing."""

    def __call__(self, row: Row) -> Row:
        return row

    def close(self) -> None:
        """Holds nothing."""


class _Forger:
    """Applies manipulations by name, each built once."""

    def __init__(self, config: ForgeConfig) -> None:
        self._build = functools.cache(config.build)

    def __call__(
        self, name: str, clip: FaceClip, partner: FaceClip | None, rng: np.random.Generator
    ) -> tuple[Frames, Masks]:
        other = None if partner is None else Clip(partner.frames, partner.landmarks)
        forgery = self._build(name)(Clip(clip.frames, clip.landmarks), other, rng)
        return forgery.frames, forgery.masks


class _Recipes:
    """Knows from the name of a planned file how it is made."""

    def __init__(self, sources: Mapping[str, Row], config: ForgeConfig) -> None:
        self._sources = sources
        self._seed = config.seed
        self._names = {corpus.folder_of(name): name for name in config.methods}

    def __call__(self, row: Row) -> Recipe:
        if row["method"] is None:
            return Recipe(self._sources[row["source_id"]])
        name = self._names[row["method"]]
        target, other = corpus.stem_of(row["uri"])
        return Recipe(
            target=self._sources[target],
            manipulation=name,
            partner=None if other == target else self._sources[other],
            seed=(self._seed, int(target), *name.encode()),
        )
