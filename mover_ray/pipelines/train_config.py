"""The settings of a training: what a preset holds and `--set` changes."""

import json
from dataclasses import dataclass, field
from typing import Any

from mover_ray.config import check_at_least, to_mapping
from mover_ray.errors import ConfigError
from mover_ray.forge.augment import PairConfig
from mover_ray.forge.quality import QualityConfig
from mover_ray.models.mae import MAEConfig
from mover_ray.pipelines.lease import LeaseConfig
from mover_ray.pipelines.ray_config import RayConfig
from mover_ray.training.finetune import FinetuneConfig
from mover_ray.training.pretrain import PretrainConfig
from mover_ray.training.recipe import Recipe
from mover_ray.video.sampling import SamplingPolicy

#: Settings that say where a training runs and how it is watched; no weight depends on them.
_CIRCUMSTANCES = ("workers", "ray", "lease", "cache_dir")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkersConfig:
    """The processes that train together. Their number changes no weight but for rounding."""

    count: int = 1
    """How many; 1 without a cluster's address trains in the calling process."""
    least: int | None = None
    """With how few training begins, and goes on when nodes are lost; None: with all."""
    gpu: bool = False
    """Whether each has a GPU."""
    cpus: float = 1.0
    """CPUs that each reserves on the cluster."""
    backend: str | None = None
    """Of `torch.distributed`; None: `nccl` with GPUs, else `gloo`."""
    max_failures: int = 3
    """How often the workers are started again after one died; lost nodes do not count."""
    timeout_s: float = 3600.0
    """How long a worker waits for another one. The first of each node builds the local
    cache of the corpus meanwhile."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "count", 1)
        check_at_least(self, "cpus", 0.0)
        check_at_least(self, "max_failures", -1)
        check_at_least(self, "timeout_s", 1.0)
        if self.least is not None and not 1 <= self.least <= self.count:
            raise ConfigError(f"least is out of range: `{self.least}` of `{self.count}` workers")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """What both stages of training are told."""

    stage: str
    """`pretrain` or `finetune`."""
    corpus: tuple[str, ...] = ()
    """Finished destinations of `extract`, all with the same face policy."""
    start: str | None = None
    """Weights that training begins with."""
    augment: bool = True
    """Whether the quality of crops is changed by chance."""
    workers: WorkersConfig = field(default_factory=WorkersConfig)
    """The processes that train together."""
    ray: RayConfig = field(default_factory=RayConfig)
    """How to reach or start Ray, where it is used."""
    lease: LeaseConfig = field(default_factory=LeaseConfig)
    """The right to write to a destination."""
    cache_dir: str | None = None
    """Folder on each node for the local copy of the corpus, and of the run where the
    destination is in a bucket; None: `mover-ray` in the user's cache folder."""

    def identity(self) -> dict[str, Any]:
        """Gives every setting that the weights depend on, as JSON would hold it."""
        settings: dict[str, Any] = json.loads(json.dumps(to_mapping(self)))
        for name in _CIRCUMSTANCES:
            del settings[name]
        del settings["training"]["habits"]
        return settings


def unchanged(flip: float = 0.0) -> QualityConfig:
    """Gives the config that leaves the quality of crops as it is, mirroring aside."""
    return QualityConfig(
        flip=flip, recolour=0.0, uneven=0.0, blur=0.0, rescale=0.0, noise=0.0, jpeg=0.0
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainRun(TrainConfig):
    """The first stage. `start`: `timm:NAME`, or a safetensors file with an encoder."""

    model: MAEConfig = field(default_factory=MAEConfig)
    """The autoencoder."""
    quality: QualityConfig = field(default_factory=lambda: unchanged(flip=0.5))
    """How crops are changed. Ours: mirrored alone; what is restored should stay sharp."""
    training: PretrainConfig = field(default_factory=PretrainConfig)
    """The training itself."""

    @property
    def recipe(self) -> Recipe:
        """How long and in which batches."""
        return self.training.recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneRun(TrainConfig):
    """The second stage. `start`: the destination of a first stage.

    To do without a first stage, `timm:NAME` or a safetensors file with an encoder.
    """

    detector: str = "mover"
    """Key of `models.registry.DETECTORS`."""
    model: dict[str, Any] = field(default_factory=dict)
    """Settings of the detector."""
    quality: QualityConfig = field(default_factory=QualityConfig)
    """How crops are changed; real and fake of a pair alike."""
    forge: bool = False
    """Whether a pseudo-fake is made of every real segment, beside the given fakes."""
    families: dict[str, float] = field(default_factory=lambda: dict(PairConfig().families))
    """Pseudo-fakes by name, and how often each is made in relation to the others."""
    partners: int = 0
    """Real faces of the corpus that wait in memory as partners for the families that need
    one; 0: those families take no part."""
    training: FinetuneConfig = field(default_factory=FinetuneConfig)
    """The training itself."""
    sampling: SamplingPolicy = field(default_factory=SamplingPolicy)
    """Which frames of a video are looked at with the finished model."""
    model_id: str | None = None
    """Name of the finished model in every row; None: the preset's and the seed."""
    licence: str = "bound by the licences of the training corpus"
    """Licence of the finished model."""

    @property
    def recipe(self) -> Recipe:
        """How long and in which batches."""
        return self.training.recipe


#: The config of each stage.
STAGES: dict[str, type[PretrainRun] | type[FinetuneRun]] = {
    "pretrain": PretrainRun,
    "finetune": FinetuneRun,
}
