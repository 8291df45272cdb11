import pytest
import torch
import torchvision
from torch import nn

from mover_ray.models.layers.face_mapping import FaceMapper, shrink
from mover_ray.models.layers.resnet import NORMS, ResNetTrunk


@pytest.fixture(scope="module")
def resnet18() -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = torchvision.models.resnet18(weights=None).eval()
    return model


@pytest.mark.parametrize(
    ("variant", "outputs"),
    [
        ("blocks3", ("layer1.0", "layer1.1", "layer2.0")),
        ("stages3", ("layer1", "layer2", "layer3")),
    ],
)
def test_trunk_is_the_start_of_resnet18(
    resnet18: nn.Module, variant: str, outputs: tuple[str, ...]
) -> None:
    trunk = ResNetTrunk(variant, "batch").eval()
    wanted = trunk.state_dict().keys()
    trunk.load_state_dict({k: v for k, v in resnet18.state_dict().items() if k in wanted})
    seen: dict[str, torch.Tensor] = {}
    for name in outputs:
        resnet18.get_submodule(name).register_forward_hook(
            lambda _module, _input, output, name=name: seen.update({name: output})
        )
    images = torch.randn(2, 3, 64, 64)

    resnet18(images)
    maps = trunk(images)
    assert trunk.channels == tuple(one.shape[1] for one in maps)
    for name, found in zip(outputs, maps, strict=True):
        torch.testing.assert_close(found, seen[name])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("variant", ["blocks3", "stages3"])
def test_mapped_faces_lie_on_the_grid_of_shrunk_ones(variant: str, norm: str) -> None:
    images = torch.randn(2, 3, 64, 64)

    assert FaceMapper(variant, norm)(images).shape == shrink(images).shape == (2, 3, 16, 16)


def test_group_norm_keeps_faces_of_a_batch_apart_in_training() -> None:
    images = torch.randn(2, 3, 64, 64)
    grouped, batched = (FaceMapper("blocks3", norm).train() for norm in ("group", "batch"))

    torch.testing.assert_close(grouped(images)[:1], grouped(images[:1]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(batched(images)[:1], batched(images[:1]), atol=1e-3)


def test_shrinking_keeps_the_mean_of_each_block() -> None:
    images = torch.arange(64.0).reshape(1, 1, 8, 8)

    assert shrink(images)[0, 0, 1, 0].item() == images[0, 0, 4:, :4].mean().item()
