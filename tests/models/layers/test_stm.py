"""Layers along time against cases computed by hand, on maps of one pixel."""

import pytest
import torch
from torch import Tensor

from mover_ray.models.layers.stm import Follow, MotionBlock, TimeShift

FRAMES = 4


def maps(*frames: list[float]) -> Tensor:
    """Gives maps of one pixel [B, F, 1, 1]."""
    return torch.tensor(frames)[:, :, None, None]


def shown(maps_BFhw: Tensor) -> list[list[float]]:
    values: list[list[float]] = maps_BFhw.detach()[:, :, 0, 0].tolist()
    return values


def bare(channels: int, orders: int) -> MotionBlock:
    """Gives a block whose first channel of each order is the difference of the first map."""
    block = MotionBlock(channels, orders).eval()
    torch.nn.init.zeros_(block.reduce.weight)
    torch.nn.init.zeros_(block.expand.weight)
    with torch.no_grad():
        block.reduce.weight[0, 0] = 1.0
        for order in range(orders):
            block.expand.weight[order, order * (channels // 16)] = 1.0
    block.norm.eps = 0.0
    return block


def test_channels_are_those_of_the_frame_before_their_own_and_the_frame_after() -> None:
    clip = maps([1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3])

    shifted = TimeShift(4)(clip, 3)

    assert shown(shifted) == [[0, 1, 1, 2], [1, 2, 2, 3], [2, 3, 3, 0]]


def test_a_trained_shift_is_a_convolution_over_time() -> None:
    torch.manual_seed(0)
    shift, clips = TimeShift(8), torch.randn(2 * 5, 8, 3, 3)
    torch.nn.init.normal_(shift.weight_3F)

    in_time = clips.unflatten(0, (2, 5)).permute(0, 3, 4, 2, 1).reshape(-1, 8, 5)
    weight = shift.weight_3F.T[:, None]
    wanted = torch.nn.functional.conv1d(in_time, weight, padding=1, groups=8)
    found = shift(clips, 5).unflatten(0, (2, 5)).permute(0, 3, 4, 2, 1).reshape(-1, 8, 5)

    torch.testing.assert_close(found, wanted)


def test_first_differences_leave_the_last_frame_without_motion() -> None:
    clip = maps(*([value] + [0.0] * 15 for value in (1.0, 2.0, 4.0, 8.0)))

    found = shown(bare(16, 1)(clip, FRAMES))

    assert [row[0] for row in found] == [1, 2, 4, 0]
    assert all(row[1:] == [0] * 15 for row in found)


def test_second_differences_leave_the_last_two_frames_without() -> None:
    clip = maps(*([value] + [0.0] * 15 for value in (1.0, 2.0, 4.0, 8.0)))

    found = shown(bare(16, 2)(clip, FRAMES))

    assert [row[:2] for row in found] == [[1, 1], [2, 2], [4, 0], [0, 0]]


def test_even_motion_has_no_second_difference() -> None:
    clip = maps(*([value] + [0.0] * 15 for value in (5.0, 7.0, 9.0, 11.0)))

    assert [row[:2] for row in shown(bare(16, 2)(clip, FRAMES))] == [[2, 0], [2, 0], [2, 0], [0, 0]]


def test_what_moves_can_be_followed() -> None:
    """A kernel that looks one pixel to the right cancels a motion to the right."""
    clip = torch.zeros(3, 16, 1, 5)
    for frame in range(3):
        clip[frame, 0, 0, 1 + frame] = 1.0
    block = bare(16, 1)
    follow = block.follow[0]
    assert isinstance(follow, Follow)
    with torch.no_grad():
        follow.kernels_F133.zero_()
        follow.kernels_F133[:, 0, 1, 2] = 1.0

    assert not block(clip, 3).any()


@pytest.mark.parametrize("orders", [1, 2])
def test_a_still_picture_has_no_motion(orders: int) -> None:
    torch.manual_seed(0)
    still = torch.randn(1, 32, 6, 6).expand(FRAMES, -1, -1, -1)
    block = MotionBlock(32, orders).eval()

    assert not block(still, FRAMES).any()


@pytest.mark.parametrize("frames", [1, 2])
def test_clips_too_short_for_a_difference_have_no_motion(frames: int) -> None:
    block = MotionBlock(32, 2).eval()
    clip = torch.randn(frames, 32, 4, 4)

    motion = block(clip, frames)

    assert motion.shape == clip.shape
    assert not motion[-1].any()
    assert motion.any() == (frames > 1)


@pytest.mark.parametrize("stride", [1, 2])
def test_nothing_passes_from_one_clip_to_another(stride: int) -> None:
    torch.manual_seed(0)
    first, second, other = torch.randn(3, FRAMES, 32, 6, 6)
    block = MotionBlock(32, 2, stride).eval()
    shift = TimeShift(32)

    for layer in (block, shift):
        alone = layer(first, FRAMES)
        for neighbour in (second, other):
            together = layer(torch.cat([first, neighbour]), FRAMES)[:FRAMES]
            torch.testing.assert_close(together, alone)
            behind = layer(torch.cat([neighbour, first]), FRAMES)[FRAMES:]
            torch.testing.assert_close(behind, alone)
