import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mover_ray.models.part_masking import complementary_folds

ratios = st.sampled_from([0.25, 0.4, 0.5, 0.75, 1.0])


@st.composite
def part_masks(draw: st.DrawFn) -> Tensor:
    shape = [draw(st.integers(1, 3)), draw(st.integers(1, 7)), draw(st.sampled_from([9, 16, 196]))]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return torch.rand(shape, generator=generator) < draw(st.floats(0, 1))


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
