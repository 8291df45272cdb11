"""The equations of FCG's decoder on cases small enough to compute by hand."""

import math

import pytest
import torch

from mover_ray.models.layers.side_decoder import (
    ComponentDecoder,
    TemporalDecoder,
    component_loss,
    temporal_affinity,
)


def test_the_affinity_of_a_patch_with_itself_by_hand() -> None:
    """One clip of two frames, one patch, one head of width 4: queries 2 and 0 along an axis."""
    attributes = torch.zeros(3, 1, 2, 1, 1, 4)
    attributes[0, 0, 0, 0, 0, 0] = 2.0

    maps = temporal_affinity(attributes)[0, 0]
    assert maps.shape == (3, 2, 2)
    # 2 * 2 / sqrt(4) = 2 with itself, 0 with the other frame; keys and values are all zero.
    own = math.exp(2) / (math.exp(2) + 1)
    torch.testing.assert_close(maps[0], torch.tensor([[own, 1 - own], [0.5, 0.5]]))
    torch.testing.assert_close(maps[1:], torch.full((2, 2, 2), 0.5))


def test_maps_of_attributes_and_heads_lie_side_by_side() -> None:
    torch.manual_seed(0)
    attributes = torch.randn(3, 2, 4, 5, 2, 8)

    maps = temporal_affinity(attributes)
    assert maps.shape == (2, 5, 6, 4, 4)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(2, 5, 6, 4))
    value, head, clip, patch = 2, 1, 1, 3
    frames = attributes[value, clip, :, patch, head]
    expected = (frames @ frames.T / math.sqrt(8)).softmax(dim=-1)
    torch.testing.assert_close(maps[clip, patch, value * 2 + head], expected)


def test_no_clip_and_no_patch_sees_another_in_its_affinity() -> None:
    torch.manual_seed(0)
    attributes = torch.randn(3, 2, 4, 9, 2, 8)
    changed = attributes.clone()
    changed[:, 1] = torch.randn(3, 4, 9, 2, 8)
    changed[:, 0, :, 5] += 1

    same = torch.tensor([patch != 5 for patch in range(9)])
    before, after = temporal_affinity(attributes)[0], temporal_affinity(changed)[0]
    assert torch.equal(before[same], after[same])
    assert not torch.equal(before[5], after[5])


def test_the_temporal_decoder_adds_its_mlp_to_the_merged_maps() -> None:
    """With an MLP of zeros and a spreading layer that copies the first cell."""
    decoder = TemporalDecoder(heads=1, frames=2)
    with torch.no_grad():
        decoder.merge.weight.zero_()
        decoder.merge.weight[0, 0, 2, 2] = 1.0  # the queries' map, as it is
        decoder.up.weight.zero_()
        decoder.up.bias.copy_(torch.tensor([10.0, 20.0, 30.0, 40.0]))
        decoder.spread.weight.zero_()
        decoder.spread.weight[0, 0, 2, 2] = 1.0
        decoder.spread.get_parameter("bias").zero_()

    torch.manual_seed(0)
    attributes = torch.randn(3, 1, 2, 4, 1, 8)
    expected = temporal_affinity(attributes)[0, :, 0, 0, 0] + 10
    torch.testing.assert_close(decoder(attributes)[0], expected)


def test_merging_begins_small() -> None:
    torch.manual_seed(0)
    decoder = TemporalDecoder(heads=16, frames=10)

    assert decoder.merge.weight.shape == (1, 48, 5, 5)
    assert decoder.merge.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert decoder.merge.bias is not None
    assert not decoder.merge.bias.any()


def test_a_query_finds_the_key_that_points_its_way() -> None:
    decoder = ComponentDecoder(width=2, components=2)
    with torch.no_grad():
        decoder.queries_PD.copy_(torch.tensor([[5.0, 0.0], [0.0, 0.1]]))
    keys = torch.tensor([[[0.3, 0.0], [0.0, 9.0], [-1.0, 0.0]]])
    residual = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [7.0, 7.0]]])

    seen, attention = decoder(keys, residual)
    torch.testing.assert_close(attention[0], torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    torch.testing.assert_close(seen[0], torch.tensor([0.5, 1.0]))


def test_attention_by_hand_where_cosines_are_close() -> None:
    decoder = ComponentDecoder(width=2, components=1)
    with torch.no_grad():
        decoder.queries_PD.copy_(torch.tensor([[1.0, 0.0]]))
    angle = math.acos(0.99)
    keys = torch.tensor([[[2.0, 0.0], [math.cos(angle), math.sin(angle)]]])

    first = 1 / (1 + math.exp(-1))  # 100 * (1 - 0.99) = 1
    torch.testing.assert_close(
        decoder.attend(keys)[0, 0], torch.tensor([first, 1 - first]), rtol=0, atol=1e-4
    )


def test_the_guidance_by_hand() -> None:
    prototypes = torch.eye(4)[None] * 3
    at_home = component_loss(torch.eye(4)[None], prototypes, scale=1.0)
    # Four cosines, 1 with its own and 0 with the others.
    assert at_home.item() == pytest.approx(math.log(1 + 3 / math.e))

    strayed = component_loss(torch.eye(4)[None].roll(1, dims=1), prototypes, scale=30.0)
    assert strayed.item() == pytest.approx(30, abs=1e-3)
    both = component_loss(
        torch.stack([torch.eye(4), torch.eye(4).roll(1, dims=0)]), prototypes.expand(2, 4, 4), 30.0
    )
    assert both.item() == pytest.approx(15, abs=1e-3)
