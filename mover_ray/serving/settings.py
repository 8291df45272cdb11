"""From the layers of settings and the flags of `serve run` to the settings of the service."""

import os
from dataclasses import replace
from pathlib import Path

from mover_ray.config import Settings, for_command, from_mapping, merge
from mover_ray.pipelines.ray_config import RayConfig
from mover_ray.serving.config import ReplicasConfig, ServeConfig, read_config
from mover_ray.serving.keys import default_file

_COMMANDS = ("score", "extract", "forge", "train")


def resolve(
    settings: Settings,
    *,
    model: str | None,
    keys: Path | None,
    allow_untrained: bool,
    require_sandbox: bool,
) -> tuple[ServeConfig, RayConfig]:
    """Gives the settings of the service and how to start Ray.

    Args:
        settings: As `config.gather` gives them: `[serve]` is the service's own, the others are
            those of `score`.
        model: The one model to serve; None for those of the settings.
        keys: File of API keys; None for that of the settings, else the user's own.
        allow_untrained: Accept a model with random weights.
        require_sandbox: Refuse to decode where no sandbox works.

    Raises:
        ConfigError: A setting is wrong.
    """
    scoring = for_command({**settings, "serve": {}}, "score", (*_COMMANDS, "serve"))
    service: Settings = dict(settings.get("serve", {}))
    ray = from_mapping(RayConfig, scoring.get("ray", {}), "ray")
    if model is not None:
        service["models"] = {"default": str(Path(model).absolute())}
    if keys is not None or not (service.get("keys_file") or service.get("tokens")):
        service["keys_file"] = str((keys or default_file()).absolute())
    if allow_untrained:
        service["allow_untrained"] = True
    if require_sandbox:
        scoring = merge(scoring, {"require_sandbox": True})
    config = read_config({**service, "settings": scoring})
    if "replicas" not in service:
        cpus = ray.num_cpus or os.cpu_count() or 1
        config = replace(config, replicas=for_one_machine(cpus, _gpus()))
    if "in_flight" not in service.get("limits", {}):
        in_flight = config.limits.in_flight * config.replicas.decoders_max
        config = replace(config, limits=replace(config.limits, in_flight=in_flight))
    return config, ray


def for_one_machine(cpus: int, gpus: int) -> ReplicasConfig:
    """Gives the replicas of one machine.

    Decoding takes most of the time: all CPUs but that of a scorer without a GPU decode. Where
    there are fewer CPUs than processes they share them; Ray would wait for more for ever.
    """
    decoders = max(1, cpus if gpus else cpus - 1)
    share = min(1.0, cpus / (decoders + (0 if gpus else 1)))
    return ReplicasConfig(
        decoders_min=decoders,
        decoders_max=decoders,
        decoder_cpus=share,
        scorer_cpus=0.0 if gpus else share,
        scorer_gpus=min(1.0, float(gpus)),
    )


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
