import dataclasses

import pytest
import torch
from torch import Tensor

from mover_ray.errors import ConfigError
from mover_ray.faces.parts import PARTITIONS
from mover_ray.models.base import FaceBatch
from mover_ray.models.layers.face_mapping import shrink
from mover_ray.models.layers.pixels import normalize
from mover_ray.models.mae import MAEConfig
from mover_ray.models.mover import Mover, MoverConfig
from mover_ray.models.mover_branches import MappingNetwork
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


@pytest.mark.parametrize("finetuning", ["layernorm", "lora"])
@pytest.mark.parametrize("blocks", [None, 4])
def test_a_shared_encoder_scores_as_one_of_its_own_would(
    batch: tuple[Tensor, Tensor], finetuning: str, blocks: int | None
) -> None:
    shared = make(dataclasses.replace(SMALL, finetuning=finetuning, finetuned_blocks=blocks))
    full = make()
    state = {name: w for name, w in shared.state_dict().items() if name in full.state_dict()}
    encoder = {name.replace("mae.", "finetuning.", 1): w for name, w in state.items()
               if name.startswith("mae.encoder.")}  # fmt: skip
    full.load_state_dict(state | encoder)

    ours, theirs = shared(*batch), full(*batch)
    for name in ("finetuning", "mapping"):
        torch.testing.assert_close(ours.head_scores[name], theirs.head_scores[name])


def test_a_shared_encoder_runs_once(batch: tuple[Tensor, Tensor]) -> None:
    shared = make(dataclasses.replace(SMALL, finetuning="lora", finetuned_blocks=4))
    assert shared.mae is not None
    runs: list[int] = []
    for number, block in enumerate(shared.mae.encoder.blocks):
        block.register_forward_hook(lambda *_, number=number: runs.append(number))

    shared(*batch)
    assert sorted(runs) == sorted([*range(12), *range(8, 12)])


def test_finetuning_alone_with_a_shared_encoder_has_masks(batch: tuple[Tensor, Tensor]) -> None:
    config = dataclasses.replace(SMALL, finetuning="layernorm", branches=("finetuning",))

    mover = make(config)
    assert set(mover(*batch).head_scores) == {"finetuning"}
    assert mover.localize(batch[0][0], batch[1][0]).shape == (2, 16, 16)


class TestLosses:
    @pytest.fixture
    def learnable(self, batch: tuple[Tensor, Tensor]) -> FaceBatch:
        return FaceBatch(faces=batch[0], landmarks=batch[1], labels=torch.tensor([0, 1]))

    def test_are_those_of_the_branches(self, mover: Mover, learnable: FaceBatch) -> None:
        losses = mover.losses(learnable)
        output = mover(learnable.faces, learnable.landmarks)

        for term, branch in (("finetuning_cls", "finetuning"),):
            scores = output.head_scores[branch]
            expected = torch.nn.functional.binary_cross_entropy(scores, torch.tensor([0.0, 1.0]))
            torch.testing.assert_close(losses[term], expected)
        assert set(losses) == {"finetuning_cls", "mapping_cls", "mapping_mse"}

    def test_of_frames_are_those_of_single_faces(self, mover: Mover, learnable: FaceBatch) -> None:
        alone = make(dataclasses.replace(SMALL, branches=("mapping",)))
        alone.load_state_dict(
            {k: v for k, v in mover.state_dict().items() if k in alone.state_dict()}
        )

        torch.testing.assert_close(alone.losses(learnable), alone.losses(learnable.singles()))
        both = mover.losses(learnable)
        torch.testing.assert_close(
            alone.losses(learnable), {k: v for k, v in both.items() if k.startswith("mapping")}
        )

    def test_a_cached_target_is_used(self, mover: Mover, learnable: FaceBatch) -> None:
        singles = learnable.singles()
        target = mover.restore(normalize(singles.faces), mover.part_masks(singles.landmarks))
        cached = dataclasses.replace(singles, target=target)

        torch.testing.assert_close(mover.losses(cached)["mapping_mse"],
                                   mover.losses(singles)["mapping_mse"])  # fmt: skip
        far = mover.losses(dataclasses.replace(singles, target=target + 10))
        assert far["mapping_mse"] > 10

    def test_weights_scale_their_terms(self, mover: Mover, learnable: FaceBatch) -> None:
        weighted = make(dataclasses.replace(SMALL, cls_weight=2.0, mse_weight=0.5))

        plain, scaled = mover.losses(learnable), weighted.losses(learnable)
        for name, factor in (("finetuning_cls", 2), ("mapping_cls", 2), ("mapping_mse", 0.5)):
            torch.testing.assert_close(scaled[name], factor * plain[name])


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
        ({"finetuning": "none"}, "unknown finetuning: `none`"),
        ({"finetuned_blocks": 13}, "finetuned_blocks is out of range: `13`"),
        ({"lora_rank": 0}, "lora_rank is too small: `0`"),
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

    assert output.logits_S.item() == pytest.approx(-0.319438, abs=1e-3)
    assert output.head_scores["finetuning"].item() == pytest.approx(0.328389, abs=1e-3)
    assert output.head_scores["mapping"].item() == pytest.approx(0.513218, abs=1e-3)
