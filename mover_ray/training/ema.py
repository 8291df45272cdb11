"""A running average of a model's weights, which validates better than the weights."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from mover_ray.errors import ArtifactError


class AveragedWeights:
    """Exponential moving average of the trained parameters of a model.

    Buffers are not averaged: they are running statistics already. Frozen parameters
    are left out: they do not move.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Starts at the present weights.

        Args:
            model: Its parameters keep their identity while it trains.
            decay: Weight of the past in a step, in [0, 1): 0.999 remembers about a
                thousand steps.
        """
        self._decay = decay
        self._steps = 0
        self._parameters = {
            name: value for name, value in model.named_parameters() if value.requires_grad
        }
        self._averages = {name: value.detach().clone() for name, value in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average towards the present weights; called after every step.

        Early on the decay is smaller, (1 + n) / (10 + n) after n steps, so that the
        random start is soon forgotten.
        """
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for name, average in self._averages.items():
            average.lerp_(self._parameters[name], 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the average in the model's place, and its own weights back at the end."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state(self) -> dict[str, Tensor]:
        """Gives what a checkpoint must hold."""
        return {**self._averages, "steps": torch.tensor(self._steps)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes what `state` gave.

        Raises:
            ArtifactError: The state is that of another model.
        """
        if set(state) != {*self._averages, "steps"}:
            raise ArtifactError("the checkpoint's averaged weights are those of another model")
        for name, average in self._averages.items():
            average.copy_(state[name])
        self._steps = int(state["steps"])

    @torch.no_grad()
    def _swap(self) -> None:
        for name, average in self._averages.items():
            own = self._parameters[name]
            kept = own.detach().clone()
            own.copy_(average)
            average.copy_(kept)
