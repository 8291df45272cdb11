"""Training: a preset and a corpus in, an autoencoder or a model bundle out."""

import json
import math
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mover_ray.config import (
    Settings,
    from_mapping,
    gather,
    merge,
    parse_assignments,
    to_mapping,
)
from mover_ray.errors import ConfigError, HeldError
from mover_ray.pipelines import train_presets
from mover_ray.pipelines.destination import SUCCESS_NAME, Destination
from mover_ray.pipelines.lease import hold
from mover_ray.pipelines.progress import Progress
from mover_ray.pipelines.ray_config import RayConfig, prepare_environment
from mover_ray.pipelines.stop import stop_on_signals
from mover_ray.pipelines.train_config import STAGES, FinetuneRun, PretrainRun
from mover_ray.pipelines.train_output import BUNDLE_NAME
from mover_ray.pipelines.train_start import AUTOENCODER_NAME
from mover_ray.pipelines.train_worker import RUN_NAME, TrainPlan, choose_device, work
from mover_ray.provenance import environment_facts, utc_now
from mover_ray.storage import normalise
from mover_ray.training.checkpoint import differing_fields
from mover_ray.training.loop import CHECKPOINTS, METRICS_NAME
from mover_ray.training.task import SCORE
from mover_ray.training.world import Alone


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOptions:
    """What the command `train` was asked to do."""

    preset: str
    """Name of a preset, or path of one's own."""
    dest: str
    """Folder or `s3://` prefix for checkpoints, metrics, pictures and the model."""
    corpus: tuple[str, ...] = ()
    """Finished destinations of `extract`; empty leaves it to the preset."""
    start: str | None = None
    """Weights that training begins with; None leaves it to the preset."""
    workers: str | None = None
    """How many processes, `4` or, elastic, `2:8`; None leaves it to the preset."""
    address: str | None = None
    """Ray cluster to join."""
    command: str | None = None
    """Command line, for the model's record."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Nested settings that are stronger than the preset's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSummary:
    """How a training ended."""

    dest: str
    """Where everything is."""
    run_id: str
    """Stays the same over all starts at one destination."""
    model: str
    """Uri of the finished bundle, or of the autoencoder."""
    metrics: Mapping[str, float]
    """Of the best epoch, whose weights the model has."""
    seconds: float
    """Wall time of this start."""

    def as_json(self) -> dict[str, Any]:
        """Gives the summary as the document that `--json` prints."""
        return asdict(self)


def train(stage: str, options: TrainOptions, progress: Progress) -> TrainSummary:
    """Trains to the end, from where an earlier start at the destination stopped.

    Args:
        stage: `pretrain` or `finetune`.
        options: What to train, on what and to where.
        progress: Shown each epoch's metrics.

    Raises:
        ConfigError: A preset or a setting is wrong, or the corpus does not do.
        ArtifactError: The weights to begin with are missing, altered or of another model.
        LocationError: The corpus or the destination is not there.
        HeldError: The destination is held, or belongs to another training.
        DivergedError: The loss is not finite.
    """
    started = time.monotonic()
    run = resolve(stage, options)
    destination = Destination(normalise(options.dest), CHECKPOINTS)
    with hold(destination, run.lease, progress):
        run_id = _begin(destination, run)
        document = destination.read_document(SUCCESS_NAME)
        if document is None:
            plan = TrainPlan(
                run=run,
                dest=destination.base,
                run_id=run_id,
                name=Path(options.preset).stem,
                command=options.command,
            )
            _execute(plan, progress)
            document = {"run_id": run_id, "metrics": _best_epoch(destination)}
            document |= {"finished_at": utc_now(), **environment_facts()}
            destination.write_document(document, SUCCESS_NAME)
    made = AUTOENCODER_NAME if stage == "pretrain" else BUNDLE_NAME
    return TrainSummary(
        dest=destination.base,
        run_id=run_id,
        model=destination.uri(made),
        metrics=document["metrics"],
        seconds=time.monotonic() - started,
    )


def gather_settings(
    config_file: Path | None, assignments: Sequence[str], profile: str | None = None
) -> Settings:
    """Gives the settings of a command line that are stronger than the preset's.

    Of settings files and the environment, which serve all commands, `train` and `ray`
    count; assignments name settings as the preset does.

    Raises:
        ConfigError: See `config.gather`.
    """
    files = gather(config_file, profile=profile)
    own = files.get("train", {})
    if not isinstance(own, dict):
        raise ConfigError(f"`train` is a section, not a value: `{own}`")
    common: Settings = {name: files[name] for name in ("ray",) if name in files}
    return merge(merge(common, own), parse_assignments(assignments))


def resolve(stage: str, options: TrainOptions) -> PretrainRun | FinetuneRun:
    """Gives every setting of a training; reads the preset and nothing else.

    Raises:
        ConfigError: There is no such preset, it is of the other stage, or a setting is wrong.
    """
    _, preset = train_presets.read(options.preset)
    settings = merge(merge(preset, dict(options.settings)), _from_options(options))
    found = settings.get("stage")
    if found not in STAGES:
        hint = "its first setting is `stage`: " + " or ".join(f"`{name}`" for name in STAGES)
        raise ConfigError(f"the preset has no stage: `{options.preset}`", hint=hint)
    if found != stage:
        hint = f"`mover-ray train {found} {options.preset}`"
        raise ConfigError(f"the preset is for `{found}`: `{options.preset}`", hint=hint)
    # Every default is spelled out: a table that names one field keeps the others' values.
    config = STAGES[stage]
    run = from_mapping(config, merge(to_mapping(config(stage=stage)), settings))
    return replace(run, corpus=tuple(normalise(uri) for uri in run.corpus))


def _from_options(options: TrainOptions) -> Settings:
    """Gives what the command line's options say, as settings."""
    settings: Settings = {}
    if options.corpus:
        settings["corpus"] = list(options.corpus)
    if options.start is not None:
        settings["start"] = options.start
    if options.workers is not None:
        settings["workers"] = _workers(options.workers)
    if options.address is not None:
        settings["ray"] = {"address": options.address}
    return settings


def _workers(text: str) -> Settings:
    least, colon, most = text.rpartition(":")
    if not most.isdecimal() or (colon and not least.isdecimal()):
        hint = "write a number such as `4`, or the least and the most such as `2:8`"
        raise ConfigError(f"not a number of workers: `{text}`", hint=hint)
    return {"count": int(most), "least": int(least)} if colon else {"count": int(most)}


def _begin(destination: Destination, run: PretrainRun | FinetuneRun) -> str:
    """Compares the settings with those of an earlier start, or records them.

    Returns:
        The id of the run.

    Raises:
        HeldError: The training there has other settings.
    """
    there = destination.read_document(RUN_NAME)
    differing = differing_fields(there["identity"], run.identity()) if there else []
    if there and not differing:
        return str(there["run_id"])
    # A start that was refused leaves no checkpoint, and its settings bind nobody.
    if any(destination.storage.list(destination.uri(CHECKPOINTS))):
        raise HeldError(
            f"destination belongs to another training: `{destination.base}`: "
            f"{', '.join(differing)}",
            hint="use the same settings, or write to another --out",
        )
    run_id = secrets.token_hex(8)
    document = {"run_id": run_id, "identity": run.identity(), "settings": to_mapping(run)}
    destination.write_document(document, RUN_NAME)
    return run_id


def _best_epoch(destination: Destination) -> dict[str, float]:
    """Gives the metrics of the epoch with the highest score, the earliest of equals."""
    text = destination.storage.read(destination.uri(METRICS_NAME)).decode()
    lines = [json.loads(line) for line in text.splitlines()]
    best = max((line for line in lines if line["kind"] == "epoch"), key=_score)
    return {name: value for name, value in best.items() if name not in ("kind", "steps")}


def _score(line: Mapping[str, float]) -> float:
    return line[SCORE]


def _execute(plan: TrainPlan, progress: Progress) -> None:
    """Trains in this process, or on Ray where there are several workers or a cluster."""

    def on_epoch(metrics: Mapping[str, float]) -> None:
        progress.message(", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))

    workers, ray = plan.run.workers, _cluster(plan.run)
    if workers.count == 1 and ray.address is None:
        work(plan, Alone(choose_device(gpu=workers.gpu)), on_epoch, first=True)
        return
    prepare_environment(ray)
    from mover_ray.pipelines import ray_engine
    from mover_ray.pipelines.train_ray import train_on_cluster

    with (
        stop_on_signals(progress, at_once=True),
        ray_engine.connected(ray),
        stop_on_signals(progress, at_once=True),  # again: Ray has set its own handlers
    ):
        train_on_cluster(plan, on_epoch)


def _cluster(run: PretrainRun | FinetuneRun) -> RayConfig:
    """Gives the cluster; one that is started here has a CPU slot for every worker."""
    if run.ray.address is not None or run.ray.num_cpus is not None:
        return run.ray
    wanted = math.ceil(run.workers.count * run.workers.cpus)
    return replace(run.ray, num_cpus=max(wanted, os.cpu_count() or 1))
