"""Backbones that are read and never changed. Random weights, but for one test."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.errors import ArtifactError, ConfigError
from mover_ray.models.frozen_backbone import (
    BackboneConfig,
    FrozenBackbone,
    LayerFeatures,
    load_backbone,
    local_copies,
)
from mover_ray.models.frozen_backbone_detector import BackboneDetector
from mover_ray.models.ln_clip import LnClip, LnClipConfig
from mover_ray.models.pretrained import state_sha256
from tests.models.samples import faces

TINY = BackboneConfig(architecture="vit_tiny_patch16_224", image_px=32)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def backbone() -> FrozenBackbone:
    return load_backbone(TINY)


@pytest.fixture(scope="module")
def file(backbone: FrozenBackbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random weights as a public file would have them, with a head."""
    path = tmp_path_factory.mktemp("public") / "vit.safetensors"
    head = {"head.weight": torch.zeros(3, 192), "head.bias": torch.zeros(3)}
    save_file({**backbone.vit.state_dict(), **head}, path)
    return path


def of_file(path: Path, **changes: str) -> BackboneConfig:
    return BackboneConfig(architecture=TINY.architecture, image_px=32, weights=str(path), **changes)


def read(backbone: FrozenBackbone, pictures: Tensor) -> list[LayerFeatures]:
    layers: list[LayerFeatures] = []
    with torch.inference_mode():
        backbone.read(pictures, layers.append)
    return layers


def check_plain(backbone: FrozenBackbone, pictures: Tensor) -> None:
    """Compares what is read with a pass over the blocks that nobody watches."""
    layers, vit = read(backbone, pictures), backbone.vit
    with torch.inference_mode():
        plain = vit.forward_features(backbone.normalize(pictures))
        tokens = vit.norm_pre(vit._pos_embed(vit.patch_embed(backbone.normalize(pictures))))
        for layer, block in zip(layers, vit.blocks, strict=True):
            query, key, value = layer.attributes_XBNAE
            normed = block.norm1(tokens)[:, 1:]
            split = block.attn.qkv(normed).chunk(3, dim=-1)
            for found, expected in zip((query, key, value), split, strict=True):
                torch.testing.assert_close(found.flatten(2), expected)
            torch.testing.assert_close(layer.keys_BND, split[1])
            tokens = block(tokens)
            assert torch.equal(layer.residual_BND, tokens[:, 1:])
        assert torch.equal(vit.norm(tokens), plain)


def test_what_is_read_is_what_the_plain_pass_computes(backbone: FrozenBackbone) -> None:
    assert (backbone.depth, backbone.width, backbone.heads, backbone.grid) == (12, 192, 3, 2)
    assert backbone.patch_px == 16
    check_plain(backbone, faces(32, 2))


def test_nobody_watches_afterwards(backbone: FrozenBackbone) -> None:
    read(backbone, faces(32, 1))
    for module in backbone.vit.modules():
        assert not module._forward_hooks


def test_dinov2_is_read_as_timm_computes_it(weights_dir: Path) -> None:
    config = BackboneConfig(image_px=56, weights=str(weights_dir / "dinov2_vits14.safetensors"))

    backbone = load_backbone(config)
    assert backbone.config.sha256 is not None
    check_plain(backbone, faces(56, 1))


def test_attention_follows_from_what_is_read(backbone: FrozenBackbone) -> None:
    """The attributes are in the order query, key, value: only so do they give the block."""
    pictures, vit = faces(32, 1), backbone.vit
    layer, block = read(backbone, pictures)[0], backbone.vit.blocks[0]

    with torch.inference_mode():
        tokens = vit.norm_pre(vit._pos_embed(vit.patch_embed(backbone.normalize(pictures))))
        first = block.attn.qkv(block.norm1(tokens[:, :1])).reshape(3, 1, 1, 3, 64)
        query, key, value = torch.cat([first, layer.attributes_XBNAE], dim=2).transpose(2, 3)
        mixed = F.scaled_dot_product_attention(query, key, value)
        mixed = tokens + block.attn.proj(mixed.transpose(1, 2).flatten(2))
        expected = mixed + block.mlp(block.norm2(mixed))
    torch.testing.assert_close(layer.residual_BND, expected[:, 1:])


def test_only_who_reads_has_gradients(backbone: FrozenBackbone) -> None:
    weight = nn.Parameter(torch.ones(()))
    terms: list[Tensor] = []

    def take(layer: LayerFeatures) -> None:
        assert not layer.residual_BND.requires_grad
        terms.append(weight * layer.residual_BND.mean())

    backbone.read(faces(32, 1), take)
    torch.stack(terms).sum().backward()
    assert weight.grad is not None
    assert not any(value.requires_grad for value in backbone.vit.parameters())


def test_random_weights_are_always_the_same() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = load_backbone(TINY)

    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert state_sha256(load_backbone(TINY).vit.state_dict()) == state_sha256(
        first.vit.state_dict()
    )


def test_weights_of_one_hash_are_in_memory_once(file: Path) -> None:
    first = load_backbone(of_file(file))
    assert first.config.sha256 is not None

    again = load_backbone(of_file(file, sha256=first.config.sha256))
    assert again.vit is first.vit
    assert again.identity == first.identity != load_backbone(TINY).identity


def test_other_weights_than_the_bundles_are_refused(file: Path) -> None:
    with pytest.raises(ArtifactError, match="not the one that the detector was trained on") as it:
        load_backbone(of_file(file, sha256="0" * 64))
    assert "0" * 64 in str(it.value.hint)


def test_a_copy_in_the_cache_stands_in_for_a_lost_file(file: Path, tmp_path: Path) -> None:
    sha256 = load_backbone(of_file(file)).config.sha256
    assert sha256 is not None
    lost = of_file(tmp_path / "gone.safetensors", sha256=sha256)
    with pytest.raises(ArtifactError, match="cannot be had") as caught:
        load_backbone(lost)
    assert str(local_copies() / f"{sha256}.safetensors") in str(caught.value.hint)

    local_copies().mkdir(parents=True)
    (local_copies() / f"{sha256}.safetensors").write_bytes(file.read_bytes())
    assert load_backbone(lost).config.sha256 == sha256


def test_a_file_of_another_architecture_is_refused(file: Path) -> None:
    wide = BackboneConfig(architecture="vit_small_patch16_224", image_px=32, weights=str(file))
    with pytest.raises(ArtifactError, match="of another shape"):
        load_backbone(wide)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"architecture": "resnet50"}, "no vision transformer"),
        ({"architecture": "vit_base_patch16_224.openai"}, "no vision transformer"),
        ({"architecture": "vit_nothing"}, "timm knows no model"),
        ({"architecture": "vit_tiny_patch16_224", "image_px": 40}, "do not fill crops of `40` px"),
    ],
)
def test_what_is_no_backbone_is_refused(changes: dict, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_backbone(BackboneConfig(**changes))


def test_a_detector_takes_its_backbone_along_and_does_not_keep_it() -> None:
    detector: BackboneDetector = LnClip(LnClipConfig(backbone=TINY, segment_frames=1))

    assert not [name for name in detector.state_dict() if "blocks.0.attn.qkv.weight" in name]
    detector.double()
    assert detector.backbone.vit.blocks[0].attn.qkv.weight.dtype == torch.float64
    detector.train()
    assert not detector.backbone.vit.training
