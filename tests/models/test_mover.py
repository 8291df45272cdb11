import dataclasses

import pytest
import torch
from torch import Tensor

from mover_ray.errors import ConfigError
from mover_ray.faces.parts import PARTITIONS
from mover_ray.models.layers.face_mapping import shrink
from mover_ray.models.layers.pixels import normalize
from mover_ray.models.mae import MAEConfig
from mover_ray.models.mover import MappingNetwork, Mover, MoverConfig
from tests.models.samples import faces, landmarks

MAE = MAEConfig(image_px=64, patch_px=16)
SMALL = MoverConfig(mae=MAE, segment_frames=2)


def make(config: MoverConfig = SMALL) -> Mover:
    torch.manual_seed(0)
    return Mover(config).eval()


@pytest.fixture(scope="module")
def mover() -> Mover:
    return make()


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    return faces(64, 2, 2), landmarks(64, 2, 2)


def probability(logits: Tensor) -> Tensor:
    return logits.detach().double().sigmoid()


def test_score_is_the_mean_of_the_branches(mover: Mover, batch: tuple[Tensor, Tensor]) -> None:
    output = mover(*batch)

    mean = (output.head_scores["finetuning"] + output.head_scores["mapping"]) / 2
    torch.testing.assert_close(probability(output.logits_S).float(), mean)


def test_mapping_scores_a_segment_by_the_mean_of_its_frames(batch: tuple[Tensor, Tensor]) -> None:
    output = make(dataclasses.replace(SMALL, branches=("mapping",)))(*batch)

    frames = probability(output.frame_logits_ST).mean(dim=1)
    torch.testing.assert_close(probability(output.logits_S), frames)


def test_finetuning_averages_the_features_of_its_frames(batch: tuple[Tensor, Tensor]) -> None:
    mover = make(dataclasses.replace(SMALL, branches=("finetuning",)))
    output = mover(*batch)

    torch.testing.assert_close(output.logits_S, output.frame_logits_ST.mean(dim=1))
    assert set(output.head_scores) == {"finetuning"}


@pytest.mark.parametrize("branch", ["finetuning", "mapping"])
def test_one_branch_alone_scores_as_it_does_beside_the_other(
    mover: Mover, batch: tuple[Tensor, Tensor], branch: str
) -> None:
    alone = make(dataclasses.replace(SMALL, branches=(branch,)))
    alone.load_state_dict({k: v for k, v in mover.state_dict().items() if k in alone.state_dict()})

    assert torch.equal(alone(*batch).head_scores[branch], mover(*batch).head_scores[branch])


def test_without_the_mapping_branch_there_are_no_masks(batch: tuple[Tensor, Tensor]) -> None:
    mover = make(dataclasses.replace(SMALL, branches=("finetuning",)))

    assert mover.mask_kind is None
    with pytest.raises(RuntimeError, match="no masks"):
        mover.localize(batch[0][0], batch[1][0])


def test_targets_differ_and_the_autoencoder_stays_frozen(batch: tuple[Tensor, Tensor]) -> None:
    normalized, points = normalize(batch[0].flatten(0, 1)), batch[1].flatten(0, 1)
    targets = {}
    for name in ("unmasked", "stitched"):
        mover = make(dataclasses.replace(SMALL, target=name))
        targets[name] = mover.restore(normalized, mover.part_masks(points))
        assert mover.mae is not None
        assert not any(weight.requires_grad for weight in mover.mae.parameters())

    assert targets["unmasked"].shape == targets["stitched"].shape == (4, 3, 16, 16)
    assert not torch.allclose(targets["unmasked"], targets["stitched"], atol=1e-3)


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("target", ["unmasked", "stitched"])
def test_every_partition_scores(partition: str, target: str, batch: tuple[Tensor, Tensor]) -> None:
    mover = make(dataclasses.replace(SMALL, partition=partition, target=target))

    assert torch.isfinite(mover(*batch).logits_S).all()
    assert mover.part_masks(batch[1][0]).shape == (2, len(PARTITIONS[partition]), 16)


def test_landmarks_decide_which_patches_are_parts(mover: Mover) -> None:
    points = landmarks(64, 1)

    assert not torch.equal(mover.part_masks(points), mover.part_masks(points * 0.5))


def test_mapping_sees_the_mean_difference_of_each_part() -> None:
    torch.manual_seed(0)
    network = MappingNetwork("blocks3", "batch", num_parts=2).eval()
    images = normalize(faces(64, 1))
    mapped = network(images, torch.zeros(1, 3, 16, 16), torch.zeros(1, 2, 16, 16).bool())[1]
    parts = torch.zeros(1, 2, 16, 16, dtype=torch.bool)
    parts[:, 0, :4] = True
    target = mapped.detach().clone()
    target[:, :, :4] += 0.5

    without = network(images, mapped.detach(), parts)[0]
    with_difference = network(images, target, parts)[0]
    torch.testing.assert_close(with_difference - without, 0.5 * network.head.weight[:, 147])


def test_a_part_outside_the_crop_counts_as_no_difference(mover: Mover) -> None:
    outside = landmarks(64, 1, 2) + 500.0

    assert torch.isfinite(mover(faces(64, 1, 2), outside).logits_S).all()


def test_a_map_is_dark_where_the_face_was_restored_well(mover: Mover) -> None:
    assert mover.mae is not None
    pictures, points = faces(64, 1), landmarks(64, 1)
    parts = mover.part_masks(points)
    own = mover.localize(pictures, points)[0]
    in_parts = shrink(
        torch.nn.functional.interpolate(parts.any(dim=1).reshape(1, 1, 4, 4).float(), (64, 64))
    )[0, 0]
    # No part holds the upper corners: there the restored face is the face itself.
    assert own[0, 0] == 0.0
    assert own[in_parts > 0].mean() > 0.1


def test_the_scale_of_masks_is_a_constant(batch: tuple[Tensor, Tensor]) -> None:
    maps = [
        make(dataclasses.replace(SMALL, residual_scale=scale)).localize(batch[0][0], batch[1][0])
        for scale in (0.2, 0.4)
    ]

    torch.testing.assert_close(maps[0] * 2, maps[1])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"blocks": "four"}, "unknown blocks: `four`"),
        ({"norm": "layer"}, "unknown norm: `layer`"),
        ({"target": "none"}, "unknown target: `none`"),
        ({"partition": "halves"}, "unknown partition: `halves`"),
        ({"branches": ()}, "unknown branches"),
        ({"branches": ("mapping", "mapping")}, "unknown branches"),
        ({"mask_ratio": 0.0}, "mask_ratio is out of range"),
        ({"segment_frames": 0}, "segment_frames is too small"),
        ({"mae": MAEConfig(image_px=42, patch_px=14)}, "image_px is no multiple of 4: `42`"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        MoverConfig(**settings)  # type: ignore[arg-type]


def test_golden_scores_of_the_default_with_random_weights() -> None:
    """Made with this test on torch 2.15, CPU, float32; a refactor must not move them."""
    output = make(MoverConfig())(faces(224, 1, 5), landmarks(224, 1, 5))

    assert output.logits_S.item() == pytest.approx(-0.314527, abs=1e-3)
    assert output.head_scores["finetuning"].item() == pytest.approx(0.328389, abs=1e-3)
    assert output.head_scores["mapping"].item() == pytest.approx(0.515631, abs=1e-3)
