import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.models.layers.pixels import absolute_difference, normalize, patchify, unpatchify


@given(st.integers(1, 3), st.sampled_from([2, 4, 7]), st.integers(1, 4))
def test_patches_join_to_the_image(batch: int, patch_px: int, grid: int) -> None:
    side = patch_px * grid
    images = torch.arange(batch * 3 * side * side).reshape(batch, 3, side, side)

    assert torch.equal(unpatchify(patchify(images, patch_px), patch_px), images)


def test_patches_come_in_raster_order() -> None:
    images = torch.zeros(1, 3, 8, 8)
    images[:, :, :4, 4:] = 1.0

    assert patchify(images, 4)[0, :, 0].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_colours_are_normalized_in_the_order_rgb() -> None:
    face = torch.tensor([124, 116, 104], dtype=torch.uint8).reshape(1, 3, 1, 1)

    torch.testing.assert_close(normalize(face).flatten(), torch.zeros(3), rtol=0, atol=0.01)


def test_black_against_white_is_a_difference_of_one() -> None:
    black, white = (torch.full((1, 3, 2, 2), value, dtype=torch.uint8) for value in (0, 255))

    difference = absolute_difference(normalize(black), normalize(white))
    assert difference.flatten().tolist() == pytest.approx([1.0] * 4)
