import torch
from torch.nn import functional as F

from mover_ray.models.base import FaceBatch
from mover_ray.models.frozen_backbone import BackboneConfig
from mover_ray.models.ln_clip import LnClip, LnClipConfig
from mover_ray.models.pretrained import state_sha256
from tests.models.samples import faces, landmarks

TINY = BackboneConfig(architecture="vit_tiny_patch16_224", image_px=32)


def make() -> LnClip:
    torch.manual_seed(0)
    return LnClip(LnClipConfig(backbone=TINY, segment_frames=2)).eval()


def batch_of(count: int) -> FaceBatch:
    return FaceBatch(
        faces=faces(32, count, 2),
        landmarks=landmarks(32, count, 2),
        labels=torch.arange(count) % 2,
    )


def test_layer_norms_and_a_linear_head_are_all_that_learns() -> None:
    detector = make()

    # Two norms in each of 12 blocks and the last one, weight and bias of width 192.
    assert sum(value.numel() for value in detector.norms.values()) == 25 * 2 * 192
    assert sum(value.numel() for value in detector.parameters()) == 25 * 2 * 192 + 2 * 193
    assert len(detector.state_dict()) == 25 * 2 + 2


@torch.inference_mode()
def test_before_training_features_are_the_public_ones_at_length_1() -> None:
    detector, pictures = make(), faces(32, 3)

    features = detector.features(pictures)
    plain = detector.backbone.vit(detector.backbone.normalize(pictures))
    torch.testing.assert_close(features, F.normalize(plain, dim=-1))
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(3))


@torch.inference_mode()
def test_a_segment_has_the_mean_probability_of_its_frames() -> None:
    detector, batch = make(), batch_of(3)

    output = detector(batch.faces, batch.landmarks)
    mean = output.frame_logits_ST.sigmoid().mean(dim=1)
    torch.testing.assert_close(output.logits_S.sigmoid(), mean)


def test_training_changes_the_norms_and_never_the_backbone() -> None:
    detector, batch = make(), batch_of(4)
    public = state_sha256(detector.backbone.vit.state_dict())
    before = {name: value.detach().clone() for name, value in detector.named_parameters()}
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.1)

    torch.stack(list(detector.losses(batch).values())).sum().backward()
    optimizer.step()
    assert state_sha256(detector.backbone.vit.state_dict()) == public
    still = [
        name for name, value in detector.named_parameters() if torch.equal(value, before[name])
    ]
    assert still == []


def test_the_terms_of_the_loss_can_be_left_out() -> None:
    batch = batch_of(4)
    torch.manual_seed(0)
    plain = LnClip(LnClipConfig(backbone=TINY, alignment_weight=0.0, uniformity_weight=0.0))

    losses = plain.losses(batch)
    assert losses["cls"] > 0
    assert losses["alignment"] == losses["uniformity"] == 0
