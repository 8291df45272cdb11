"""The application on Ray Serve: ingress, decoding and scoring replicas.

    client -> Ingress (FastAPI) -> Decoding (CPU, sandbox) -> Scoring (GPU or CPU, batches)

Faces go from a decoding to a scoring replica through Ray's object store, not through the
ingress.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, BackpressureConfig
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from mover_ray.log import set_up_logging
from mover_ray.serving.app import create_service
from mover_ray.serving.config import ReplicasConfig, ServeConfig, read_config
from mover_ray.serving.serve_engine import ServeEngine
from mover_ray.serving.served_models import BatchStages, ModelRef, Stages
from mover_ray.serving.videos import Video
from mover_ray.serving.workers import MODELS_KEPT, DecodeWorker, ScoreRequest, ScoreWorker
from mover_ray.stages.base import Row

#: The ingress itself refuses what is too much: the bodies of requests that wait for it would
#: be kept in the memory of Serve's proxy.
_INGRESS_REQUESTS: Final = 2000
#: More than ever wait for a replica, as the ingress admits few: a ping must not queue.
_WORKER_REQUESTS: Final = 64
#: Videos for each replica at which another one is started.
_TARGET_REQUESTS: Final = 3.0


class Decoding:
    """Fetches, decodes and finds faces, one video at a time."""

    def __init__(self, stages: Stages) -> None:
        """Takes what builds the first stage of each model."""
        set_up_logging()
        self._worker = DecodeWorker(stages)

    async def find_faces(self, video: Video, model: ModelRef) -> Row:
        """Gives the first stage's row of a video."""
        return await self._worker.find_faces(video, model)

    async def load(self, model: ModelRef) -> None:
        """Has the stage of a model ready."""
        await self._worker.load(model)

    async def ping(self) -> None:
        """Answers."""


@dataclass(frozen=True, slots=True)
class _Item:
    """What is put into a batch."""

    request: ScoreRequest
    size: int
    """Faces, but never more than a batch holds: a long video is a batch of its own."""


def _size(items: list[_Item]) -> int:
    return sum(item.size for item in items)


class Scoring:
    """Scores faces, those of several videos at a time."""

    def __init__(self, stages: Stages, replicas: ReplicasConfig) -> None:
        """Takes what builds the second stage of each model, and how batches are made."""
        set_up_logging()
        self._worker = ScoreWorker(stages)
        self._batch_frames = replicas.batch_frames
        self._together.set_max_batch_size(replicas.batch_frames)  # type: ignore[attr-defined]
        self._together.set_batch_wait_timeout_s(replicas.batch_wait_s)  # type: ignore[attr-defined]

    async def score(self, row: Row, model: ModelRef, masks: str, run_id: str) -> Row:
        """Gives the result of a video of which the faces are known."""
        await self._announce(model.key)
        request = ScoreRequest(row, model, masks, run_id)
        return await self._together(_Item(request, min(request.faces, self._batch_frames)))

    async def load(self, model: ModelRef) -> None:
        """Has a model ready."""
        await self._worker.load(model)

    async def ping(self) -> None:
        """Answers, unless there was a GPU and it is gone."""
        await self._worker.check_device()

    async def check_health(self) -> None:
        """Has Serve replace the replica once its GPU is gone."""
        await self._worker.check_device()

    @serve.multiplexed(max_num_models_per_replica=MODELS_KEPT)  # type: ignore[untyped-decorator]
    async def _announce(self, key: str) -> str:
        """Tells Serve's router which models this replica holds; the worker keeps them."""
        return key

    @serve.batch(batch_size_fn=_size)
    async def _together(self, items: list[_Item]) -> list[Row]:
        return await self._worker.score([item.request for item in items])


@serve.ingress()
class Ingress:
    """Speaks HTTP."""

    def __init__(
        self, config: ServeConfig, decoding: DeploymentHandle[Any], scoring: DeploymentHandle[Any]
    ) -> None:
        """Takes the settings, and the way to those who work."""
        set_up_logging()
        self._drain_s = config.replicas.drain_s
        self._service = create_service(config, ServeEngine(decoding, scoring))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Gives the application that this replica runs."""
        return self._service.asgi

    async def drain(self) -> None:
        """Admits nothing more, and waits until everything under way has ended.

        The workers must still be there then, so this comes before Serve ends all at once.
        """
        await self._service.scoring.drain(self._drain_s)


def build(args: Mapping[str, Any]) -> Application:
    """Gives the application of a `serve.yaml`: its `args` are the settings of `ServeConfig`.

    Raises:
        ConfigError: A setting is wrong.
    """
    return build_application(read_config(args))


def build_application(config: ServeConfig, stages: Stages | None = None) -> Application:
    """Gives the application that Serve runs.

    Args:
        config: Its settings.
        stages: What builds the stages; by default those of `mover-ray score`.
    """
    if stages is None:
        stages = BatchStages(config.settings, allow_untrained=config.allow_untrained)
    replicas = config.replicas
    decoding = _deployed(
        Decoding,
        replicas,
        (replicas.decoders_min, replicas.decoders_max),
        {"num_cpus": replicas.decoder_cpus},
    )
    scoring = _deployed(
        Scoring,
        replicas,
        (replicas.scorers_min, replicas.scorers_max),
        {"num_cpus": replicas.scorer_cpus, "num_gpus": replicas.scorer_gpus},
    )
    retry_after_s = config.limits.retry_after_s
    ingress = serve.deployment(
        num_replicas=replicas.ingress,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=_INGRESS_REQUESTS,
        max_queued_requests=_INGRESS_REQUESTS,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=retry_after_s),
        **_common(replicas),
    )(Ingress)
    application: Application = ingress.bind(
        config, decoding.bind(stages), scoring.bind(stages, replicas)
    )
    return application


def _deployed(
    worker: type, replicas: ReplicasConfig, count: Sequence[int], resources: Mapping[str, float]
) -> Any:
    least, most = count
    scaling: dict[str, Any] = {"num_replicas": least}
    if most > least:
        scaling = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=least,
                max_replicas=most,
                target_ongoing_requests=_TARGET_REQUESTS,
                upscale_delay_s=10,
                downscale_delay_s=300,
            )
        }
    return serve.deployment(
        ray_actor_options=dict(resources),
        max_ongoing_requests=_WORKER_REQUESTS,
        max_queued_requests=_WORKER_REQUESTS,
        **scaling,
        **_common(replicas),
    )(worker)


def _common(replicas: ReplicasConfig) -> dict[str, Any]:
    return {
        "graceful_shutdown_timeout_s": replicas.drain_s,
        "graceful_shutdown_wait_loop_s": 0.5,
        # A new version answers before the old one is stopped.
        "max_surge_percent": 100,
        "logging_config": {"enable_access_log": False, "log_level": "WARNING"},
    }
