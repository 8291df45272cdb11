import pytest
import torch
from torch import Tensor

from mover_ray.models.deltas import KINDS, EncoderDeltas
from mover_ray.models.layers.pixels import normalize
from mover_ray.models.mae import Encoder, MAEConfig
from tests.models.samples import faces


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(MAEConfig(image_px=64)).eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return normalize(faces(64, 2))


def run(encoder: Encoder, deltas: EncoderDeltas, images: Tensor) -> Tensor:
    tokens: Tensor = deltas(encoder, encoder.start(images, deltas.first))
    return tokens


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_blocks", [None, 3, 0])
def test_before_training_nothing_is_changed(
    encoder: Encoder, images: Tensor, kind: str, num_blocks: int | None
) -> None:
    deltas = EncoderDeltas(encoder, kind, num_blocks, rank=2)

    torch.testing.assert_close(run(encoder, deltas, images), encoder(images))
    assert len(deltas.blocks) == (12 if num_blocks is None else num_blocks)


def test_changed_norms_are_those_of_an_encoder_with_other_weights(
    encoder: Encoder, images: Tensor
) -> None:
    deltas = EncoderDeltas(encoder, "layernorm", 1, rank=1)
    other = Encoder(MAEConfig(image_px=64)).eval()
    other.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        for name in ("blocks.0.deltas.norm1", "blocks.0.deltas.norm2", "norm"):
            delta = deltas.get_submodule(name)
            target = other.get_submodule(name.replace("blocks.0.deltas", "blocks.11"))
            for key, value in delta.named_parameters():
                value.normal_(std=0.1)
                target.get_parameter(key).add_(value)

    torch.testing.assert_close(run(encoder, deltas, images), other(images), rtol=1e-4, atol=1e-5)


def test_changed_attention_is_that_of_an_encoder_with_other_weights(
    encoder: Encoder, images: Tensor
) -> None:
    deltas = EncoderDeltas(encoder, "lora", 1, rank=3)
    other = Encoder(MAEConfig(image_px=64)).eval()
    other.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        for name in ("qkv", "proj"):
            delta = deltas.get_submodule(f"blocks.0.deltas.{name}")
            up, down = delta.get_parameter("up_OR"), delta.get_parameter("down_RD")
            up.normal_(std=0.1)
            other.get_parameter(f"blocks.11.attn.{name}.weight").add_(up @ down)
        assert not torch.allclose(other(images), encoder(images), atol=1e-3)

    torch.testing.assert_close(run(encoder, deltas, images), other(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_changes_learn_and_the_encoder_does_not(
    encoder: Encoder, images: Tensor, kind: str
) -> None:
    deltas = EncoderDeltas(encoder, kind, 2, rank=2)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimizer = torch.optim.SGD(deltas.parameters(), lr=0.1)
    for _ in range(2):  # the factor that starts at zero keeps the other still for one step
        optimizer.zero_grad()
        run(encoder, deltas, images).square().mean(dim=0).sum().backward()
        still = [n for n, p in deltas.named_parameters() if p.grad is None]
        assert still == []
        optimizer.step()

    moved = [name for name, p in deltas.named_parameters() if p.grad is not None and p.grad.any()]
    assert len(moved) == len(list(deltas.parameters()))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_they_are_small_beside_the_encoder(encoder: Encoder) -> None:
    whole = sum(weight.numel() for weight in encoder.parameters())

    for kind in KINDS:
        deltas = EncoderDeltas(encoder, kind, None, rank=8)
        assert sum(weight.numel() for weight in deltas.parameters()) < 0.04 * whole
