"""Optimizers, the learning rate of each layer, and its course over the training."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mover_ray.config import check_at_least, check_choice, check_range
from mover_ray.errors import ArtifactError, ConfigError

_BLOCK = re.compile(r"(?:^|\.)encoder\.blocks\.(\d+)\.")
_ENTRANCE = re.compile(r"(?:^|\.)encoder\.(?:patch_embed\.|cls_token$)")
_TOKENS = ("cls_token", "mask_token")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """One optimizer and the course of its learning rate."""

    name: str = "adamw"
    """`adamw` or `sgd`."""
    lr: float = 1.5e-4
    """Largest learning rate (DeepfakeMAE: 1.5e-4 to pretrain, 1e-3 to finetune, SGD 0.1)."""
    weight_decay: float = 0.05
    """Not applied to biases, norms and learned tokens."""
    beta1: float = 0.9
    """AdamW's memory of the gradient (DeepfakeMAE: 0.9)."""
    beta2: float = 0.999
    """AdamW's memory of its square; MAE uses 0.95."""
    momentum: float = 0.9
    """SGD's (DeepfakeMAE: 0.9)."""
    layer_decay: float = 1.0
    """Each block of the encoder learns this much slower than the next one; 1: all alike.
    Ours: 0.75 to finetune, because the paper's 1e-3 in every layer diverges easily."""
    warmup: float = 0.05
    """Share of the training in which the rate rises from 0."""
    final: float = 0.0
    """Share of `lr` at which the cosine ends."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_choice(self, "name", ("adamw", "sgd"))
        check_range(self, "lr", 0.0, 100.0)
        check_at_least(self, "weight_decay", 0.0)
        for name in ("beta1", "beta2", "momentum"):
            check_range(self, name, 0.0, 0.99999)
        check_range(self, "layer_decay", 0.01, 1.0)
        check_range(self, "warmup", 0.0, 1.0)
        check_range(self, "final", 0.0, 1.0)


def lr_factor(config: OptimConfig, progress: float) -> float:
    """Gives the learning rate as a share of its largest value.

    A function of progress alone: a resumed training, or one that now has other
    workers, needs no counter.

    Args:
        config: `warmup` and `final` are used.
        progress: Share of the training that is done, in [0, 1].
    """
    if progress < config.warmup:
        return progress / config.warmup
    rest = (progress - config.warmup) / max(1 - config.warmup, 1e-12)
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))


class Optimizers:
    """The optimizers of a model, each for the parameters under its prefixes."""

    def __init__(self, model: nn.Module, configs: Mapping[str, OptimConfig]) -> None:
        """Shares out the parameters that require a gradient.

        Args:
            model: What is trained.
            configs: By prefix of the parameters' names; the longest that fits counts,
                and `""` fits all.

        Raises:
            ConfigError: A parameter has no optimizer, or an optimizer no parameter.
        """
        self._configs = list(configs.values())
        shared = _share_out(model, list(configs))
        self._names = {
            id(value): name for members in shared.values() for name, value in members.items()
        }
        self._parameters = [value for members in shared.values() for value in members.values()]
        self._optimizers = [_build(config, shared[prefix]) for prefix, config in configs.items()]

    def set_progress(self, progress: float) -> None:
        """Sets every learning rate for the share of the training that is done."""
        for config, optimizer in zip(self._configs, self._optimizers, strict=True):
            factor = lr_factor(config, progress)
            for group in optimizer.param_groups:
                group["lr"] = group["full_lr"] * factor

    def clip(self, max_norm: float | None) -> Tensor:
        """Scales the gradients down to a norm; gives the norm that they had."""
        bound = math.inf if max_norm is None else max_norm
        return nn.utils.clip_grad_norm_(self._parameters, bound)

    def step(self) -> None:
        """Moves the weights along the gradients, and forgets the gradients."""
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    @property
    def lr(self) -> float:
        """The largest learning rate at work."""
        return float(max(group["lr"] for one in self._optimizers for group in one.param_groups))

    def state(self) -> dict[str, Tensor]:
        """Gives what a checkpoint must hold, by `parameter/quantity`."""
        return {
            f"{self._names[id(parameter)]}/{quantity}": torch.as_tensor(value)
            for optimizer in self._optimizers
            for parameter, values in optimizer.state.items()
            for quantity, value in values.items()
            if value is not None
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes what `state` gave.

        Raises:
            ArtifactError: The state is that of another model.
        """
        by_name: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            name, _, quantity = key.rpartition("/")
            by_name.setdefault(name, {})[quantity] = value
        unknown = sorted(set(by_name) - set(self._names.values()))
        if unknown:
            raise ArtifactError(f"the checkpoint's optimizer has the unknown `{unknown[0]}`")
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    own = by_name.get(self._names[id(parameter)], {})
                    optimizer.state[parameter] = {
                        quantity: _placed(quantity, value, parameter)
                        for quantity, value in own.items()
                    }


def _placed(quantity: str, value: Tensor, parameter: Tensor) -> Tensor:
    """Puts a quantity where torch keeps it: counters of steps stay on the CPU."""
    return value.clone() if quantity == "step" else value.to(parameter.device, copy=True)


def _share_out(model: nn.Module, prefixes: Sequence[str]) -> dict[str, dict[str, nn.Parameter]]:
    shared: dict[str, dict[str, nn.Parameter]] = {prefix: {} for prefix in prefixes}
    for name, value in model.named_parameters():
        if not value.requires_grad:
            continue
        fitting = [prefix for prefix in prefixes if name.startswith(prefix)]
        if not fitting:
            raise ConfigError(f"no optimizer is configured for `{name}`")
        shared[max(fitting, key=len)][name] = value
    for prefix, members in shared.items():
        if not members:
            raise ConfigError(f"an optimizer has nothing to train: `{prefix}`")
    return shared


def _build(config: OptimConfig, members: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
    groups = list(_groups(config, members))
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2))


def _groups(
    config: OptimConfig, members: Mapping[str, nn.Parameter]
) -> Iterable[dict[str, object]]:
    """Gives torch's parameter groups: those of one learning rate and weight decay."""
    blocks = [int(match[1]) for name in members if (match := _BLOCK.search(name))]
    depth = max(blocks, default=-1) + 1
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, value in members.items():
        decays = value.ndim > 1 and not name.endswith(_TOKENS)
        groups.setdefault((_layer(name, depth), decays), []).append(value)
    for (layer, decays), values in sorted(groups.items(), key=lambda item: item[0]):
        yield {
            "params": values,
            "full_lr": config.lr * config.layer_decay ** (depth + 1 - layer),
            "weight_decay": config.weight_decay if decays else 0.0,
        }


def _layer(name: str, depth: int) -> int:
    """Gives 0 for the encoder's entrance, then its blocks, then everything behind them.

    Source: BEiT (arXiv 2106.08254), as in MAE's finetuning.
    """
    if _ENTRANCE.search(name):
        return 0
    match = _BLOCK.search(name)
    return depth + 1 if match is None else int(match[1]) + 1
