"""Meta-learning: steps that help on some manipulations must help on others too.

Source: DeepfakeMAE (arXiv 2303.01740), section 3.3; MAML (arXiv 1703.03400).

Shapes:
    S: segments   T: frames   C: colours   H, W: pixels   K: landmarks   X: x and y
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from mover_ray.config import check_at_least, check_choice, check_range
from mover_ray.errors import ConfigError
from mover_ray.models.base import Detector, DetectorOutput, FaceBatch

Weights = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class MetaConfig:
    """How meta-learning goes, where the paper is silent."""

    enabled: bool = False
    """Whether there is any; without it, plain training (the paper's ablation)."""
    steps: int = 5
    """Inner gradient steps (paper: several)."""
    lr: float = 0.01
    """Of the inner steps."""
    second_order: bool = False
    """Whether the outer gradient sees through the inner ones: about twice the time."""
    split: str = "auto"
    """What meta-test holds: other manipulations (`manipulation`, paper), other videos
    (`videos`), or the first where there are two manipulations at least (`auto`)."""
    test_share: float = 0.2
    """Share of the manipulations, at least one, or of the sources that is meta-test
    (Mover 0.2, Delocate 0.3); drawn anew each epoch."""
    reference_share: float = 0.2
    """Share of the other sources, at least one, that the steps are judged by."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "steps", 1)
        check_choice(self, "split", ("auto", "manipulation", "videos"))
        for name in ("test_share", "reference_share"):
            check_range(self, name, 0.01, 0.9)
        if not self.lr > 0:
            raise ConfigError(f"lr is too small: `{self.lr}`")


@dataclass(frozen=True, slots=True)
class MetaBatch:
    """One task: as many real as fake segments in each part."""

    train: FaceBatch
    """Meta-train: the inner steps learn from it."""
    reference: FaceBatch
    """T_ref: meta-train manipulations of sources that the inner steps do not see."""
    test: FaceBatch
    """Meta-test: manipulations (or sources) that are in neither of the others."""

    def to(self, device: torch.device) -> "MetaBatch":
        """Gives the batch on `device`."""
        return MetaBatch(self.train.to(device), self.reference.to(device), self.test.to(device))


class MetaStep(nn.Module):
    """A whole meta-learning step as one forward pass.

    One module, because DDP synchronizes the gradients of the module that it wraps and
    no others: `functional_call(ddp.module, …)` outside of a wrapped forward pass leaves
    each rank with its own gradient and says nothing. Here the inner steps stay on their
    rank and the outer gradient is averaged.

    Differs: where the paper is silent: the weights before any step are a candidate for
    θ′, and of equal candidates the last is taken, or else a reference that is all right
    from the start would turn meta-learning off. Batch norm uses its running statistics
    in every pass that counts; they learn once a step, from the meta-train batch and the
    weights before the inner steps. Then no face's loss depends on its neighbours, and to
    shuffle the meta-test batch, as the paper does, would change nothing.
    """

    def __init__(self, detector: Detector, config: MetaConfig) -> None:
        super().__init__()
        self.calls = _Calls(detector)
        self._config = config

    def forward(self, batch: MetaBatch) -> dict[str, Tensor]:
        """Gives the terms of the outer loss by name, `train_…` and `test_…`."""
        self._update_statistics(batch.train)
        with _frozen_statistics(self.calls), self._kernels():
            weights = self.adapt(batch)
            train = self._losses(weights, batch.train)
            test = self._losses(weights, join(batch.test, batch.train))
        return {f"train_{name}": value for name, value in train.items()} | {
            f"test_{name}": value for name, value in test.items()
        }

    def adapt(self, batch: MetaBatch) -> Weights:
        """Gives θ′: of the weights before and after each inner step, the best on T_ref."""
        candidate: Weights = {
            name: value for name, value in self.calls.named_parameters() if value.requires_grad
        }
        best = candidate
        highest = self._accuracy(best, batch.reference)
        for _ in range(self._config.steps):
            candidate = self._descend(candidate, batch.train)
            accuracy = self._accuracy(candidate, batch.reference)
            if accuracy >= highest:
                best, highest = candidate, accuracy
        return best

    def _descend(self, weights: Weights, batch: FaceBatch) -> Weights:
        """Gives the weights after one step; a first-order step is a constant shift."""
        second = self._config.second_order
        loss = torch.stack(list(self._losses(weights, batch).values())).sum()
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=second)
        return {
            name: value - self._config.lr * gradient
            for (name, value), gradient in zip(weights.items(), gradients, strict=True)
        }

    @torch.no_grad()
    def _accuracy(self, weights: Weights, batch: FaceBatch) -> float:
        arguments = ("forward", batch.faces, batch.landmarks)
        output: DetectorOutput = functional_call(self.calls, weights, arguments)
        right = (output.logits_S > 0) == (batch.labels > 0)
        return float(right.float().mean())

    def _losses(self, weights: Weights, batch: FaceBatch) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = functional_call(self.calls, weights, ("losses", batch))
        return terms

    def _kernels(self) -> contextlib.AbstractContextManager[None]:
        """The fused kernels of attention have no second derivative."""
        if self._config.second_order:
            return sdpa_kernel(SDPBackend.MATH)
        return contextlib.nullcontext()

    @torch.no_grad()
    def _update_statistics(self, batch: FaceBatch) -> None:
        if self.training and _norms(self):
            self.calls("losses", batch)


class _Calls(nn.Module):
    """Reaches every method of a detector through a forward pass, as `functional_call` must."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, method: str, *arguments: Tensor | FaceBatch) -> object:
        call: Callable[..., object] = getattr(self.detector, method)
        return call(*arguments)


def join(first: FaceBatch, second: FaceBatch) -> FaceBatch:
    """Gives both batches as one; both have the same optional parts."""
    values: dict[str, Tensor | None] = {}
    for field in fields(FaceBatch):
        one, other = getattr(first, field.name), getattr(second, field.name)
        values[field.name] = None if one is None else torch.cat([one, other])
    return FaceBatch(**values)  # type: ignore[arg-type]


def _norms(module: nn.Module) -> list[_BatchNorm]:
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


@contextlib.contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Makes batch norm use its running statistics and leave them as they are."""
    learning = [norm for norm in _norms(module) if norm.training]
    for norm in learning:
        norm.eval()
    try:
        yield
    finally:
        for norm in learning:
            norm.train()
