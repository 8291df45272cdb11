import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mover_ray.errors import ConfigError
from mover_ray.faces.parts import PARTITIONS
from mover_ray.models.part_masking import (
    MaskingConfig,
    complementary_folds,
    draw_hidden,
    keep_count,
    locate_parts,
)
from tests.models.samples import landmarks

ratios = st.sampled_from([0.25, 0.4, 0.5, 0.75, 1.0])


@st.composite
def part_masks(draw: st.DrawFn) -> Tensor:
    shape = [draw(st.integers(1, 3)), draw(st.integers(1, 7)), draw(st.sampled_from([9, 16, 196]))]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return torch.rand(shape, generator=generator) < draw(st.floats(0, 1))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def three_parts(batch: int) -> Tensor:
    """Disjoint parts of 10, 20 and 40 of 196 patches, named as those of `bands`."""
    parts = torch.zeros(batch, 3, 196, dtype=torch.bool)
    parts[:, 0, :10] = parts[:, 1, 50:70] = parts[:, 2, 100:140] = True
    return parts


@given(part_masks(), st.floats(0.05, 1.0), st.integers(0, 99))
def test_a_share_of_one_part_is_hidden(parts_BPN: Tensor, ratio: float, seed: int) -> None:
    hidden_BN = draw_hidden(MaskingConfig(ratio=ratio), parts_BPN, generator(seed))

    inside_BP = (hidden_BN[:, None] <= parts_BPN).all(dim=2)
    wanted_BP = (parts_BPN.sum(dim=2) * ratio).round().clamp(min=1)
    right_BP = inside_BP & parts_BPN.any(dim=2) & (hidden_BN.sum(dim=1)[:, None] == wanted_BP)
    without_B = ~parts_BPN.any(dim=(1, 2))
    assert (right_BP.any(dim=1) | without_B).all()
    assert not hidden_BN[without_B].any()


def test_every_part_is_drawn_as_often_and_every_patch_of_it() -> None:
    hidden_BN = draw_hidden(
        MaskingConfig(partition="bands"), three_parts(3000), generator()
    ).float()

    for part, size in ((slice(0, 10), 10), (slice(50, 70), 20), (slice(100, 140), 40)):
        drawn = hidden_BN[:, part].sum(dim=1) > 0
        assert drawn.float().mean().item() == pytest.approx(1 / 3, abs=0.04)
        assert set(hidden_BN[drawn].sum(dim=1).tolist()) == {size / 2}
        assert hidden_BN[drawn][:, part].mean(dim=0).sub(0.5).abs().max() < 0.1


def test_a_fixed_part_is_the_only_one() -> None:
    config = MaskingConfig(partition="bands", part="nose_cheek", ratio=0.75)

    hidden_BN = draw_hidden(config, three_parts(8), generator())
    assert hidden_BN[:, 50:70].sum(dim=1).tolist() == [15] * 8
    assert hidden_BN.sum() == 8 * 15


def test_random_patches_are_of_the_whole_image() -> None:
    config = MaskingConfig(strategy="random_patches", ratio=0.75)

    hidden_BN = draw_hidden(config, three_parts(50), generator())
    assert set(hidden_BN.sum(dim=1).tolist()) == {147}
    assert hidden_BN.any(dim=0).all()


def test_the_same_seed_hides_the_same() -> None:
    drawn = [draw_hidden(MaskingConfig(), three_parts(9), generator(seed)) for seed in (1, 1, 2)]

    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_all_that_is_visible_is_kept() -> None:
    hidden_BN = draw_hidden(MaskingConfig(partition="bands"), three_parts(40), generator())

    visible = 196 - int(hidden_BN.sum(dim=1).min())
    assert keep_count(hidden_BN, multiple=1) == visible == 191
    assert keep_count(hidden_BN) == 192
    assert keep_count(torch.zeros(1, 196, dtype=torch.bool), multiple=128) == 196


@pytest.mark.parametrize("partition", PARTITIONS)
def test_parts_are_in_their_order(partition: str) -> None:
    parts_BPN = locate_parts(landmarks(224, 2), 224, 16, partition)

    assert parts_BPN.shape == (2, len(PARTITIONS[partition]), 196)
    rows_P = [torch.nonzero(part).float().mean().item() // 14 for part in parts_BPN[0]]
    named = dict(zip(PARTITIONS[partition], rows_P, strict=True))
    assert named["eyes"] < named[PARTITIONS[partition][-1]]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"strategy": "pixels"}, "unknown strategy: `pixels`"),
        ({"partition": "thirds"}, "unknown partition: `thirds`"),
        ({"partition": "bands", "part": "chin"}, "unknown part: `chin`"),
        ({"strategy": "random_patches", "part": "eyes"}, "`random_patches` knows no part: `eyes`"),
        ({"ratio": 0.0}, "ratio is out of range"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        MaskingConfig(**settings)  # type: ignore[arg-type]


@given(part_masks(), ratios, st.integers(1, 8))
def test_parts_that_are_hidden_together_are_each_covered_once(
    parts_BPN: Tensor, mask_ratio: float, parts_at_once: int
) -> None:
    alone_BPFN = complementary_folds(parts_BPN, mask_ratio)
    together_BGFN = complementary_folds(parts_BPN, mask_ratio, parts_at_once)

    groups = math.ceil(parts_BPN.shape[1] / parts_at_once)
    assert together_BGFN.shape[1] == groups
    for first in range(groups):
        assert torch.equal(together_BGFN[:, first], alone_BPFN[:, first::groups].any(dim=1))


@given(part_masks(), ratios)
def test_folds_cover_a_part_once(parts_BPN: Tensor, mask_ratio: float) -> None:
    folds_BPFN = complementary_folds(parts_BPN, mask_ratio)

    assert torch.equal(folds_BPFN.sum(dim=2), parts_BPN.long())


@given(part_masks(), ratios)
def test_no_fold_is_more_than_the_ratio_of_a_part(parts_BPN: Tensor, mask_ratio: float) -> None:
    sizes_BPF = complementary_folds(parts_BPN, mask_ratio).sum(dim=3)

    most_BP = (parts_BPN.sum(dim=2) * mask_ratio).ceil()
    assert (sizes_BPF <= most_BP[..., None]).all()
    assert sizes_BPF.shape[2] == math.ceil(1 / mask_ratio)


def test_the_split_is_the_same_whatever_else_is_in_the_batch() -> None:
    parts = torch.zeros(2, 3, 196, dtype=torch.bool)
    parts[:, :, 40:90] = True
    parts[1, 0] = True

    torch.manual_seed(1)
    together = complementary_folds(parts, 0.5)
    torch.manual_seed(2)
    assert torch.equal(complementary_folds(parts[:1], 0.5), together[:1])


@pytest.mark.parametrize("offset", [1, 14])
def test_halves_are_no_regular_pattern(offset: int) -> None:
    everything = torch.ones(1, 1, 196, dtype=torch.bool)

    half = complementary_folds(everything, 0.5)[0, 0, 0]
    same = (half[offset:] == half[:-offset]).float().mean().item()
    assert 0.35 < same < 0.65
