import pytest
import torch
from timm.models.vision_transformer import Block as TimmBlock

from mover_ray.models.layers.vit import Block, sincos_positions


@pytest.fixture
def pair() -> tuple[Block, torch.nn.Module]:
    torch.manual_seed(0)
    ours = Block(width=32, heads=4)
    theirs = TimmBlock(32, 4, qkv_bias=True)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs.eval()


def test_block_is_timms(pair: tuple[Block, torch.nn.Module]) -> None:
    ours, theirs = pair
    tokens = torch.randn(2, 9, 32)

    torch.testing.assert_close(ours(tokens), theirs(tokens))


def test_a_token_that_is_not_attended_changes_no_other(
    pair: tuple[Block, torch.nn.Module],
) -> None:
    block, _ = pair
    tokens = torch.randn(2, 9, 32)
    attended = torch.ones(2, 9, dtype=torch.bool)
    attended[0, 4] = attended[1, 7] = False
    altered = torch.where(attended[..., None], tokens, torch.full_like(tokens, 1e3))

    before, after = block(tokens, attended), block(altered, attended)
    assert torch.equal(before[attended], after[attended])
    assert not torch.equal(block(tokens), block(altered))


def test_positions_differ_and_are_those_of_mae() -> None:
    positions = sincos_positions(grid=3, width=8)

    assert positions.shape == (9, 8)
    assert len({tuple(row) for row in positions.tolist()}) == 9
    row, column = 2, 1
    expected = [
        wave(torch.tensor(place / 10000 ** (step / 2))).item()
        for place in (column, row)
        for wave in (torch.sin, torch.cos)
        for step in (0, 1)
    ]
    torch.testing.assert_close(positions[row * 3 + column], torch.tensor(expected))


def test_positions_need_a_width_of_fours() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        sincos_positions(grid=3, width=6)
