import torch

from mover_ray.models.layers.token_decoder import WIDTH, TokenDecoder


def make() -> TokenDecoder:
    torch.manual_seed(0)
    return TokenDecoder(token_width=8, num_sets=2, grid=4, depth=1).eval()


def test_a_mask_and_features_of_every_patch():
    logits, features = make()(torch.randn(3, 16, 4, 4))
    assert logits.shape == (3, 4, 4)
    assert features.shape == (3, WIDTH, 4, 4)


def test_sets_of_another_scale_weigh_alike():
    decoder, tokens = make(), torch.randn(1, 16, 4, 4)
    scaled = torch.cat([tokens[:, :8] * 50, tokens[:, 8:]], dim=1)
    torch.testing.assert_close(decoder(scaled)[0], decoder(tokens)[0], atol=1e-3, rtol=1e-3)


def test_a_patch_is_judged_by_the_others():
    decoder, tokens = make(), torch.randn(1, 16, 4, 4)
    other = tokens.clone()
    other[..., 3, 3] = torch.randn(16)
    assert not torch.allclose(decoder(other)[0][..., 0, 0], decoder(tokens)[0][..., 0, 0])


def test_patches_are_told_apart_by_their_places():
    logits, _ = make()(torch.ones(1, 16, 4, 4) * torch.randn(16)[:, None, None])
    assert logits.flatten().unique().numel() == 16


def test_a_face_is_decoded_alike_in_any_company():
    decoder, tokens = make(), torch.randn(4, 16, 4, 4)
    shuffled = tokens[[2, 0, 3, 1]]
    assert torch.equal(decoder(shuffled)[0][1], decoder(tokens)[0][0])
