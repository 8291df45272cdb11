import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from mover_ray.errors import ConfigError
from mover_ray.models.base import FaceBatch
from mover_ray.models.delocate import Delocate, DelocateConfig
from mover_ray.models.layers.pixels import normalize
from mover_ray.models.mae import MAEConfig
from tests.models.samples import faces, landmarks

SMALL = DelocateConfig(mae=MAEConfig(image_px=64), segment_frames=2)
TERMS = {"cls", "mapping_mse", "mask_bce", "mask_dice"}
TOKENS = {
    "mae": MAEConfig(image_px=64, depth=3),
    "mapping": False,
    "decoder": "tokens",
    "token_blocks": (1, 3),
}


def make(**changes: Any) -> Delocate:
    torch.manual_seed(0)
    return Delocate(dataclasses.replace(SMALL, **changes)).eval()


@pytest.fixture(scope="module")
def delocate() -> Delocate:
    return make()


@pytest.fixture(scope="module")
def batch() -> FaceBatch:
    masks = torch.zeros(2, 2, 64, 64)
    masks[..., 20:40, 20:40] = 1.0
    return FaceBatch(
        faces=faces(64, 2, 2),
        landmarks=landmarks(64, 2, 2),
        labels=torch.tensor([0, 1]),
        masks=masks,
    )


def test_a_segment_has_the_mean_of_its_frames(delocate: Delocate, batch: FaceBatch) -> None:
    output = delocate(batch.faces, batch.landmarks)

    mean_S = output.frame_logits_ST.detach().sigmoid().mean(dim=1)
    torch.testing.assert_close(output.logits_S.detach().sigmoid(), mean_S)
    torch.testing.assert_close(output.head_scores["classification"].detach(), mean_S)


def test_scoring_gives_the_masks_of_every_frame(delocate: Delocate, batch: FaceBatch) -> None:
    output = delocate(batch.faces, batch.landmarks)

    assert output.masks_SThw is not None
    assert output.masks_SThw.shape == (2, 2, 64, 64)
    alone = delocate.localize(batch.faces[1], batch.landmarks[1])
    torch.testing.assert_close(output.masks_SThw[1].detach(), alone)


def test_the_localization_head_sees_regions_and_no_single_pixels(batch: FaceBatch) -> None:
    scores = {}
    for name, bias in (("clear", -9.0), ("covered", 9.0)):
        delocate = make()
        assert delocate.mask_decoder is not None
        torch.nn.init.constant_(delocate.mask_decoder.head.get_parameter("bias"), bias)
        scores[name] = delocate(batch.faces, batch.landmarks).head_scores["localization"]

    assert (scores["clear"] < 0.05).all()
    assert (scores["covered"] > 0.95).all()


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({}, TERMS),
        ({"mapping": False}, TERMS - {"mapping_mse"}),
        ({"localization": False}, {"cls", "mapping_mse"}),
        ({"recovering": False}, TERMS - {"mapping_mse"}),
        ({"finetuning": "layernorm", "finetuned_blocks": 2}, TERMS),
        ({"blocks": "blocks3", "norm": "group"}, TERMS),
        ({"target": "stitched", "parts_at_once": 7}, TERMS),
        (TOKENS, TERMS - {"mapping_mse"}),
        ({**TOKENS, "token_blocks": ()}, TERMS - {"mapping_mse"}),
        ({**TOKENS, "finetuning": "layernorm"}, TERMS - {"mapping_mse"}),
        ({**TOKENS, "finetuning": "layernorm", "finetuned_blocks": 1}, TERMS - {"mapping_mse"}),
        ({**TOKENS, "decoder": "unet"}, TERMS - {"mapping_mse"}),
        ({"mapping": False, "localization": False, "recovering": False}, {"cls"}),
    ],
)
def test_every_ablation_scores_and_learns(
    changes: dict[str, Any], terms: set[str], batch: FaceBatch
) -> None:
    delocate = make(**changes)

    output = delocate(batch.faces, batch.landmarks)
    assert torch.isfinite(output.logits_S).all()
    assert ("localization" in output.head_scores) == delocate.config.localization
    losses = delocate.train().losses(batch)
    assert set(losses) == terms
    torch.stack(list(losses.values())).sum().backward()
    learning = [(name, p) for name, p in delocate.named_parameters() if p.requires_grad]
    assert [name for name, p in learning if p.grad is None or not p.grad.any()] == []


def test_tokens_are_those_of_the_chosen_blocks(batch: FaceBatch) -> None:
    delocate = make(**TOKENS)
    assert delocate.encoder is not None
    images = normalize(batch.singles().faces)

    tokens_BDGG = delocate._tokens(delocate.encoder, images)
    for place, block in enumerate((1, 3)):
        expected_BLD = delocate.encoder.start(images, block)[:, 1:]
        found_BDN = tokens_BDGG[:, place * 192 : (place + 1) * 192].flatten(2)
        torch.testing.assert_close(found_BDN.transpose(1, 2), expected_BLD)


def test_changes_reach_the_tokens_of_later_blocks_alone(batch: FaceBatch) -> None:
    delocate = make(**TOKENS, finetuning="layernorm", finetuned_blocks=2)
    assert delocate.encoder is not None
    assert delocate.deltas is not None
    images = normalize(batch.singles().faces)
    before = delocate._tokens(delocate.encoder, images)
    torch.testing.assert_close(before, make(**TOKENS)._tokens(delocate.encoder, images))

    for value in delocate.deltas.blocks.parameters():
        torch.nn.init.constant_(value, 0.5)
    first, last = (
        delocate._tokens(delocate.encoder, images)[:, part] - before[:, part]
        for part in (slice(0, 192), slice(192, 384))
    )
    assert not first.any()
    assert last.any()


def test_without_localization_there_are_no_masks(batch: FaceBatch) -> None:
    delocate = make(localization=False)

    assert delocate.mask_kind is None
    assert delocate(batch.faces, batch.landmarks).masks_SThw is None
    with pytest.raises(RuntimeError, match="no masks"):
        delocate.localize(batch.faces[0], batch.landmarks[0])


def test_a_cached_target_is_the_one_that_would_be_computed(
    delocate: Delocate, batch: FaceBatch
) -> None:
    singles = batch.singles()
    target = delocate.recover(normalize(singles.faces), singles.landmarks)
    cached = dataclasses.replace(batch, target=target.reshape(2, 2, *target.shape[1:]))

    assert delocate.losses(cached) == delocate.losses(batch)
    other = dataclasses.replace(cached, target=torch.zeros(2, 2, 3, 16, 16))
    assert delocate.losses(other)["mapping_mse"] != delocate.losses(batch)["mapping_mse"]


def test_finetuning_leaves_the_recovery_alone(batch: FaceBatch) -> None:
    delocate = make(finetuning="layernorm")
    assert delocate.deltas is not None
    singles = batch.singles()
    images = normalize(singles.faces)
    before, score = (
        delocate.recover(images, singles.landmarks),
        delocate.localize(singles.faces, singles.landmarks),
    )
    torch.nn.init.constant_(delocate.deltas.norm.bias, 1.0)

    assert torch.equal(delocate.recover(images, singles.landmarks), before)
    assert not torch.equal(delocate.localize(singles.faces, singles.landmarks), score)


def test_weights_scale_their_terms(batch: FaceBatch) -> None:
    plain = make().losses(batch)
    weighted = make(cls_weight=2.0, mse_weight=3.0, mask_weight=0.0).losses(batch)

    for name, factor in (("cls", 2), ("mapping_mse", 3), ("mask_bce", 0), ("mask_dice", 0)):
        torch.testing.assert_close(weighted[name], plain[name] * factor)


def test_a_few_steps_find_the_mask(batch: FaceBatch) -> None:
    delocate = make(mapping=False, recovering=False, norm="group").train()
    optimizer = torch.optim.AdamW(delocate.parameters(), lr=3e-3)
    history: list[Tensor] = []
    for _ in range(12):
        losses = delocate.losses(batch)
        history.append(torch.stack(list(losses.values())).sum())
        optimizer.zero_grad()
        history[-1].backward()
        optimizer.step()

    assert history[-1].item() < 0.7 * history[0].item()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"finetuning": "full"}, "unknown finetuning: `full`"),
        ({"finetuning": "lora", "recovering": False}, "no encoder to finetune: `lora`"),
        ({"finetuned_blocks": 13}, "finetuned_blocks is out of range: `13`"),
        ({"parts_at_once": 0}, "parts_at_once is too small: `0`"),
        ({"decoder": "unets"}, "unknown decoder: `unets`"),
        ({"decoder": "tokens"}, "stands on the encoder alone"),
        ({"token_blocks": (3, 7)}, "the encoder ends elsewhere"),
        ({"token_blocks": (0, 12)}, "blocks count from 1"),
        ({"mask_weight": -1.0}, "mask_weight is too small"),
        ({"mae": MAEConfig(image_px=42, patch_px=14)}, "image_px is no multiple of 4: `42`"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        DelocateConfig(**settings)  # type: ignore[arg-type]
