import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mover_ray.errors import ArtifactError, ConfigError
from mover_ray.models.mae import MAEConfig, MaskedAutoencoder
from mover_ray.models.mover import Mover, MoverConfig
from mover_ray.training.optim import OptimConfig, Optimizers, lr_factor

ADAMW = OptimConfig(lr=0.1, warmup=0.0)
SGD = OptimConfig(name="sgd", lr=0.1, warmup=0.0)


def test_golden_course_of_the_learning_rate() -> None:
    """Worked out by hand: a line to 1, then (1 + cos(pi x)) / 2 down to `final`."""
    config = OptimConfig(warmup=0.2, final=0.1)
    course = [lr_factor(config, progress) for progress in (0.0, 0.1, 0.2, 0.4, 0.6, 1.0)]

    at_quarter = 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2
    assert course == pytest.approx([0.0, 0.5, 1.0, at_quarter, 0.55, 0.1])


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_rate_never_leaves_its_range(warmup: float, final: float, progress: float) -> None:
    factor = lr_factor(OptimConfig(warmup=warmup, final=final), progress)

    assert 0 <= factor <= 1


def test_norms_biases_and_tokens_do_not_decay() -> None:
    model = MaskedAutoencoder(MAEConfig(image_px=32))
    names = {id(value): name for name, value in model.named_parameters()}
    optimizers = Optimizers(model, {"": OptimConfig()})
    decay = {
        names[id(value)]: group["weight_decay"]
        for optimizer in optimizers._optimizers
        for group in optimizer.param_groups
        for value in group["params"]
    }

    assert set(decay) == set(names.values())
    for name, value in model.named_parameters():
        kept = value.ndim == 1 or "token" in name
        assert decay[name] == (0.0 if kept else 0.05), name


def test_deeper_layers_of_the_encoder_learn_faster() -> None:
    config = MoverConfig(mae=MAEConfig(image_px=32), branches=("finetuning",))
    model = Mover(config)
    names = {id(value): name for name, value in model.named_parameters()}
    optimizers = Optimizers(model, {"": OptimConfig(lr=1.0, layer_decay=0.5)})
    rate = {
        names[id(value)].partition("encoder.")[2] or "head": group["full_lr"]
        for optimizer in optimizers._optimizers
        for group in optimizer.param_groups
        for value in group["params"]
    }

    assert rate["head"] == rate["norm.weight"] == 1.0
    assert rate["blocks.11.mlp.fc1.weight"] == 0.5
    assert rate["blocks.0.mlp.fc1.weight"] == 0.5**12
    assert rate["patch_embed.proj.weight"] == rate["cls_token"] == 0.5**13


def test_one_step_of_each_kind_is_what_its_formula_says() -> None:
    for config, moved in ((SGD, 0.1 * (2.0 + 0.05 * 3.0)), (ADAMW, 0.1 + 0.1 * 0.05 * 3.0)):
        model = nn.Linear(1, 1, bias=False)
        nn.init.constant_(model.weight, 3.0)
        optimizers = Optimizers(model, {"": config})
        optimizers.set_progress(0.0)
        model.weight.grad = torch.tensor([[2.0]])
        optimizers.step()

        assert model.weight.item() == pytest.approx(3.0 - moved, rel=1e-5)
        assert model.weight.grad is None


def test_clipping_scales_all_gradients_alike() -> None:
    model = nn.Linear(2, 1)
    optimizers = Optimizers(model, {"weight": SGD, "bias": SGD})
    model.weight.grad, model.bias.grad = torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])

    assert float(optimizers.clip(None)) == 5.0
    assert float(optimizers.clip(1.0)) == 5.0
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.6, 0.0]]))
    torch.testing.assert_close(model.bias.grad, torch.tensor([0.8]))


@pytest.mark.parametrize("config", [ADAMW, SGD])
def test_a_restored_optimizer_goes_on_as_the_first_would(config: OptimConfig) -> None:
    torch.manual_seed(0)
    first = nn.Linear(3, 2)
    optimizers = Optimizers(first, {"": config})
    inputs = torch.randn(4, 3)

    def learn(model: nn.Module, own: Optimizers) -> None:
        own.set_progress(0.3)
        model(inputs).square().sum().backward()
        own.step()

    learn(first, optimizers)
    second = nn.Linear(3, 2)
    second.load_state_dict(first.state_dict())
    others = Optimizers(second, {"": config})
    others.restore({name: value.clone() for name, value in optimizers.state().items()})
    learn(first, optimizers)
    learn(second, others)

    assert all(map(torch.equal, first.parameters(), second.parameters()))


def test_parameters_and_optimizers_must_fit() -> None:
    model = nn.Linear(1, 1)

    with pytest.raises(ConfigError, match="no optimizer is configured for `bias`"):
        Optimizers(model, {"weight": SGD})
    with pytest.raises(ConfigError, match="nothing to train: `mapping"):
        Optimizers(model, {"": SGD, "mapping.": SGD})
    with pytest.raises(ArtifactError, match="unknown `other`"):
        Optimizers(model, {"": SGD}).restore({"other/step": torch.tensor(1.0)})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"name": "lion"}, "unknown name: `lion`"),
        ({"lr": -1.0}, "lr is out of range"),
        ({"layer_decay": 0.0}, "layer_decay is out of range"),
        ({"warmup": 1.5}, "warmup is out of range"),
        ({"beta2": 1.0}, "beta2 is out of range"),
        ({"weight_decay": -0.1}, "weight_decay is too small"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        OptimConfig(**settings)  # type: ignore[arg-type]
