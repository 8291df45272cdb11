import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from mover_ray.errors import ArtifactError
from mover_ray.models.mae import Encoder, MAEConfig, MaskedAutoencoder
from mover_ray.models.pretrained import (
    State,
    from_safetensors,
    from_timm,
    load_encoder,
    resample_positions,
)

DINOV2 = MAEConfig(size="small", patch_px=14, positions="learned", layer_scale=True)
LEARNED = MAEConfig(image_px=32, positions="learned", layer_scale=True)


@pytest.fixture
def state() -> State:
    torch.manual_seed(0)
    return {name: torch.randn_like(w) for name, w in Encoder(LEARNED).state_dict().items()}


def refuse(state: State, config: MAEConfig = LEARNED) -> str:
    encoder = Encoder(config)
    before = encoder.norm.weight.clone()
    with pytest.raises(ArtifactError) as caught:
        load_encoder(encoder, state)
    assert torch.equal(encoder.norm.weight, before)
    return str(caught.value)


@torch.inference_mode()
def test_dinov2_gives_what_timm_gives(weights_dir: Path) -> None:
    timm = pytest.importorskip("timm")
    from timm.models.vision_transformer import checkpoint_filter_fn

    weights = from_safetensors((weights_dir / "dinov2_vits14.safetensors").read_bytes())
    ours = Encoder(DINOV2).eval()
    load_encoder(ours, weights)
    theirs = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=224).eval()
    floats = {name: weight.float() for name, weight in weights.items()}
    theirs.load_state_dict(checkpoint_filter_fn(floats, theirs))

    images = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(ours(images), theirs.forward_features(images))


def test_weights_arrive_where_they_belong(state: State) -> None:
    encoder = Encoder(LEARNED)

    load_encoder(encoder, from_safetensors(save(state)))
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, state[name]), name


def test_a_shorter_encoder_takes_the_first_blocks(state: State) -> None:
    encoder = Encoder(dataclasses.replace(LEARNED, depth=2))

    load_encoder(encoder, state)
    assert len(encoder.blocks) == 2
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, state[name]), name


def test_an_autoencoder_gives_its_encoder() -> None:
    torch.manual_seed(0)
    mae, encoder = MaskedAutoencoder(LEARNED), Encoder(LEARNED)

    load_encoder(encoder, mae.state_dict())
    assert torch.equal(encoder.cls_token, mae.encoder.cls_token)


def test_heads_and_half_precision_are_no_obstacle(state: State) -> None:
    extra = {"head.weight": torch.zeros(9, 192), "mask_token": torch.zeros(1, 192)}
    half = {name: weight.half() for name, weight in (state | extra).items()}
    encoder = Encoder(LEARNED)

    load_encoder(encoder, half)
    assert encoder.norm.weight.dtype == torch.float32


def test_all_that_does_not_fit_is_named_at_once(state: State) -> None:
    del state["norm.bias"]
    state["blocks.0.extra"] = torch.zeros(1)
    state["cls_token"] = torch.zeros(1, 1, 384)
    state["norm.weight"][3] = float("nan")

    message = refuse(state)
    assert "missing: `norm.bias`" in message
    assert "unknown: `blocks.0.extra`" in message
    assert "of another shape: `cls_token [1, 1, 384] for [1, 1, 192]`" in message
    assert "not finite: `norm.weight`" in message


def test_weights_for_other_settings_are_refused(state: State) -> None:
    message = refuse(state, MAEConfig(image_px=32))

    assert "`blocks.0.ls1.gamma`, `blocks.0.ls2.gamma`, `blocks.1.ls1.gamma` and 22 more" in message


def test_positions_of_another_grid_are_resampled(state: State) -> None:
    bigger = Encoder(MAEConfig(image_px=64, positions="learned", layer_scale=True))

    load_encoder(bigger, state)
    assert torch.equal(bigger.pos_embed[:, 0], state["pos_embed"][:, 0])
    corners = bigger.pos_embed[0, 1:].reshape(4, 4, -1)[::3, ::3].flatten(0, 1)
    near = torch.nn.functional.cosine_similarity(corners, state["pos_embed"][0, 1:])
    assert (near > 0.9).all()


def test_smooth_positions_stay_what_they_are() -> None:
    ramp = torch.linspace(0, 1, 8).expand(8, 8)
    positions = torch.cat(
        [torch.full((1, 1, 2), 9.0), torch.stack([ramp, ramp.T], 2).reshape(1, 64, 2)], 1
    )

    found = resample_positions(positions, 16)[0, 1:].reshape(4, 4, 2)
    torch.testing.assert_close(found[1, :, 0], ramp[0].reshape(4, 2).mean(dim=1), rtol=0, atol=0.02)
    torch.testing.assert_close(found[..., 0], found[..., 1].T)


def test_what_is_no_safetensors_file_is_refused() -> None:
    with pytest.raises(ArtifactError, match="no safetensors file"):
        from_safetensors(b"\x80\x04 a pickle")


def test_a_name_that_timm_does_not_know() -> None:
    with pytest.raises(ArtifactError, match="timm knows no model: `vit_smal_patch16`"):
        from_timm("vit_smal_patch16")


def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, **_: object) -> None:
        raise FileNotFoundError(f"{name} is not in the cache")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(ArtifactError, match="`vit_tiny_patch16_224` cannot be had") as caught:
        from_timm("vit_tiny_patch16_224")
    assert "local safetensors file" in str(caught.value.hint)
