"""Shapes: B images, N patches, C colours, H, W pixels; mask_BN: True = hidden."""

import dataclasses

import pytest
import torch
from torch import Tensor

from mover_ray.errors import ConfigError
from mover_ray.models.base import FaceBatch
from mover_ray.models.layers.pixels import normalize, patchify
from mover_ray.models.mae import DECODERS, ENCODERS, MAEConfig, MaskedAutoencoder
from mover_ray.models.part_masking import complementary_folds
from tests.models.samples import faces, landmarks

CONFIG = MAEConfig(image_px=64, patch_px=16)
NUM_PATCHES = 16


@pytest.fixture(scope="module")
def mae() -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(CONFIG).eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return normalize(faces(64, 2))


def mask_of(*hidden: list[int]) -> Tensor:
    mask = torch.zeros(len(hidden), NUM_PATCHES, dtype=torch.bool)
    for row, patches in zip(mask, hidden, strict=True):
        row[patches] = True
    return mask


def repaint(images: Tensor, mask_BN: Tensor) -> Tensor:
    """Gives the images with other pixels in the masked patches."""
    pixels = mask_BN.reshape(-1, 1, 4, 4).float()
    return torch.where(torch.nn.functional.interpolate(pixels, (64, 64)).bool(), 5.0, images)


@pytest.mark.parametrize("num_kept", [None, 14])
def test_hidden_pixels_leak_nowhere(
    mae: MaskedAutoencoder, images: Tensor, num_kept: int | None
) -> None:
    mask = mask_of([0, 5, 6], [2, 3])

    before = mae.predict(images, mask, num_kept)
    after = mae.predict(repaint(images, mask), mask, num_kept)
    assert torch.equal(before, after)


@pytest.mark.parametrize("num_kept", [None, 14])
def test_hidden_pixels_never_reach_the_encoder(
    mae: MaskedAutoencoder, images: Tensor, num_kept: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    mask = mask_of([0, 5, 6], [2, 3])
    encode = mae.encoder.encode

    def watch(tokens_BKD: Tensor, visible_BK: Tensor) -> Tensor:
        latent_BLD = encode(tokens_BKD, visible_BK)
        seen.append(latent_BLD[:, 1:][visible_BK])
        return latent_BLD

    monkeypatch.setattr(mae.encoder, "encode", watch)
    for pictures in (images, repaint(images, mask)):
        mae.predict(pictures, mask, num_kept)
    assert len(seen[0]) == int((~mask).sum())
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("num_kept", [None, 14])
def test_hidden_pixels_have_no_gradient(
    mae: MaskedAutoencoder, images: Tensor, num_kept: int | None
) -> None:
    mask = mask_of([0, 5, 6], [2, 3])
    pictures = images.clone().requires_grad_()

    mae.predict(pictures, mask, num_kept).square().sum().backward()
    assert pictures.grad is not None
    by_patch_BN = patchify(pictures.grad, 16).abs().sum(dim=2)
    assert (by_patch_BN[mask] == 0).all()
    assert (by_patch_BN[~mask] > 0).all()


def test_visible_pixels_do_matter(mae: MaskedAutoencoder, images: Tensor) -> None:
    mask, other = mask_of([0, 5], [2, 3]), mask_of([9], [9])

    assert not torch.equal(mae.predict(images, mask), mae.predict(repaint(images, other), mask))


@pytest.mark.parametrize("num_kept", [13, 14, 16])
def test_dropping_hidden_patches_only_saves_time(
    mae: MaskedAutoencoder, images: Tensor, num_kept: int
) -> None:
    mask = mask_of([0, 5, 6], [2, 3, 15])

    torch.testing.assert_close(mae.predict(images, mask, num_kept), mae.predict(images, mask))


def test_hiding_nothing_is_no_mask(mae: MaskedAutoencoder, images: Tensor) -> None:
    torch.testing.assert_close(
        mae.reconstruct(images, mask_of([], [])), mae.reconstruct(images), rtol=1e-4, atol=1e-5
    )


def test_a_face_that_is_wholly_hidden_is_still_predicted(
    mae: MaskedAutoencoder, images: Tensor
) -> None:
    everything = torch.ones(2, NUM_PATCHES, dtype=torch.bool)

    assert torch.isfinite(mae.reconstruct(images, everything)).all()


def test_loss_is_the_error_of_hidden_patches(mae: MaskedAutoencoder, images: Tensor) -> None:
    mask = mask_of([0, 5, 6], [2])

    error = (mae.predict(images, mask) - patchify(images, 16))[mask]
    torch.testing.assert_close(mae(images, mask), error.square().mean())


def test_losses_are_those_of_the_hidden_patches_of_a_batch(mae: MaskedAutoencoder) -> None:
    pictures, mask = faces(64, 2), mask_of([0, 5, 6], [2])
    batch = FaceBatch(
        faces=pictures, landmarks=landmarks(64, 2), labels=torch.zeros(2), hidden=mask
    )

    torch.testing.assert_close(
        mae.losses(batch), {"mse": mae(normalize(pictures), mask)}, rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ValueError, match="hidden"):
        mae.losses(dataclasses.replace(batch, hidden=None))


def test_nothing_hidden_is_nothing_to_learn(mae: MaskedAutoencoder, images: Tensor) -> None:
    assert mae(images, mask_of([], [])).item() == 0.0


def test_a_pass_in_two_halves_is_the_whole(mae: MaskedAutoencoder, images: Tensor) -> None:
    encoder = mae.encoder

    for blocks in (0, 5, 12):
        halves = encoder.finish(encoder.start(images, blocks), blocks)
        assert torch.equal(halves, encoder(images))
    assert torch.equal(mae.decode(encoder(images)), mae.reconstruct(images))


def test_every_weight_is_trained() -> None:
    torch.manual_seed(0)
    mae = MaskedAutoencoder(CONFIG)

    loss: Tensor = mae(normalize(faces(64, 2)), mask_of([0, 5, 6], [2]))
    loss.backward()
    still = [
        name for name, p in mae.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert still == []


def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    mae = MaskedAutoencoder(CONFIG)
    images, mask = normalize(faces(64, 2)), mask_of([0, 5, 6], [2])
    optimizer = torch.optim.AdamW(mae.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss: Tensor = mae(images, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.7 * losses[0]


class TestStitched:
    @pytest.mark.parametrize("parts_at_once", [1, 2])
    def test_a_hidden_half_does_not_see_itself(
        self, mae: MaskedAutoencoder, images: Tensor, parts_at_once: int
    ) -> None:
        parts = torch.stack([mask_of([1, 2], [1, 2]), mask_of([9, 10], [9, 10])], dim=1)
        first_BN = complementary_folds(parts, 0.5, parts_at_once)[:, 0, 0]

        before, after = (
            patchify(mae.stitched(one, parts, 0.5, parts_at_once), 16)[first_BN]
            for one in (images, repaint(images, first_BN))
        )
        assert torch.equal(before, after)

    def test_a_patch_is_restored_without_having_been_seen(
        self, mae: MaskedAutoencoder, images: Tensor
    ) -> None:
        parts = mask_of([3])[None].expand(2, -1, -1)

        before = patchify(mae.stitched(images, parts, 0.5), 16)[:, 3]
        other = repaint(images, parts[:, 0])
        after = patchify(mae.stitched(other, parts, 0.5), 16)[:, 3]
        assert torch.equal(before, after)
        torch.testing.assert_close(before, mae.predict(images, parts[:, 0])[:, 3])

    def test_halves_are_joined(self, mae: MaskedAutoencoder, images: Tensor) -> None:
        parts = mask_of([1, 2, 5, 6])[None].expand(2, -1, -1)

        joined = patchify(mae.stitched(images, parts, 0.5), 16)
        alone = patchify(mae.stitched(images, parts, 1.0), 16)
        assert not torch.allclose(joined[:, [1, 2, 5, 6]], alone[:, [1, 2, 5, 6]], atol=1e-4)
        torch.testing.assert_close(
            alone[:, [1, 2, 5, 6]], mae.predict(images, parts[:, 0])[:, [1, 2, 5, 6]]
        )

    def test_what_is_no_part_keeps_its_pixels(self, mae: MaskedAutoencoder, images: Tensor) -> None:
        parts = mask_of([3])[None].expand(2, -1, -1)

        stitched = patchify(mae.stitched(images, parts, 0.5), 16)
        rest = [patch for patch in range(NUM_PATCHES) if patch != 3]
        assert torch.equal(stitched[:, rest], patchify(images, 16)[:, rest])

    def test_a_patch_of_two_parts_gets_the_mean(
        self, mae: MaskedAutoencoder, images: Tensor
    ) -> None:
        both = torch.stack([mask_of([3, 4], [3, 4]), mask_of([3, 9], [3, 9])], dim=1)

        stitched = patchify(mae.stitched(images, both, 1.0), 16)[:, 3]
        single = [patchify(mae.stitched(images, both[:, [p]], 1.0), 16)[:, 3] for p in (0, 1)]
        torch.testing.assert_close(stitched, (single[0] + single[1]) / 2)


@pytest.mark.parametrize("size", ENCODERS)
def test_sizes_fit_their_heads(size: str) -> None:
    for shape in (ENCODERS[size], DECODERS[size]):
        assert shape.width % shape.heads == 0
        assert shape.width % 4 == 0


def test_patches_of_14_px_make_a_grid_of_16() -> None:
    mae = MaskedAutoencoder(MAEConfig(image_px=56, patch_px=14))

    assert mae.reconstruct(torch.zeros(1, 3, 56, 56)).shape == (1, 3, 56, 56)
    assert MAEConfig(patch_px=14).grid == 16


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"size": "huge"}, "unknown size: `huge`"),
        ({"positions": "none"}, "unknown positions: `none`"),
        ({"image_px": 8}, "image_px is out of range: `8`"),
        ({"image_px": 225}, "image_px is no multiple of patch_px: `225` and `16`"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        MAEConfig(**settings)  # type: ignore[arg-type]
