import pytest
import torch
from torch import nn

from mover_ray.errors import ArtifactError
from mover_ray.training.ema import AveragedWeights


def set_to(model: nn.Module, value: float) -> None:
    for parameter in model.parameters():
        nn.init.constant_(parameter, value)


def test_golden_average_of_a_jump() -> None:
    """By hand: decay 2/11 and then 3/12 while young, later at most the configured 0.2."""
    model = nn.Linear(1, 1)
    set_to(model, 1.0)
    average = AveragedWeights(model, 0.2)
    set_to(model, 0.0)

    seen = []
    for _ in range(3):
        average.update()
        seen.append(average.state()["weight"].item())
    assert seen == pytest.approx([2 / 11, 2 / 11 * 0.2, 2 / 11 * 0.04])


def test_applied_weights_are_put_back_even_after_an_error() -> None:
    model = nn.Linear(1, 1)
    set_to(model, 1.0)
    average = AveragedWeights(model, 0.9)
    set_to(model, 5.0)

    def fail_while_applied() -> None:
        with average.applied():
            assert model.weight.item() == 1.0
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_while_applied()
    assert model.weight.item() == 5.0
    assert average.state()["weight"].item() == 1.0


def test_a_restored_average_goes_on_as_the_first_would() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.load_state_dict(first.state_dict())
    average, other = AveragedWeights(first, 0.99), AveragedWeights(second, 0.99)
    set_to(first, 2.0)
    set_to(second, 2.0)
    average.update()
    other.restore({name: value.clone() for name, value in average.state().items()})
    average.update()
    other.update()

    for name, value in average.state().items():
        assert torch.equal(value, other.state()[name])
    with pytest.raises(ArtifactError, match="another model"):
        other.restore({"weight": torch.zeros(2, 2)})


def test_frozen_weights_are_left_out() -> None:
    model = nn.Linear(1, 1)
    model.bias.requires_grad = False

    assert set(AveragedWeights(model, 0.9).state()) == {"weight", "steps"}
