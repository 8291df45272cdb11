"""FCG as a whole; its equations are in layers/test_side_decoder.py."""

import dataclasses

import pytest
import torch

from mover_ray.models.base import FaceBatch
from mover_ray.models.fcg import COMPONENTS, Fcg, FcgConfig, build
from mover_ray.models.frozen_backbone import BackboneConfig, FrozenBackbone
from mover_ray.models.frozen_backbone_detector import score_together
from tests.models.samples import faces, landmarks

TINY = BackboneConfig(architecture="vit_tiny_patch16_224", image_px=48)
CONFIG = FcgConfig(backbone=TINY, segment_frames=4)


def make(seed: int = 0, config: FcgConfig = CONFIG) -> Fcg:
    torch.manual_seed(seed)
    return Fcg(config).eval()


@pytest.fixture(scope="module")
def detector() -> Fcg:
    return make()


@pytest.fixture
def clips() -> tuple[torch.Tensor, torch.Tensor]:
    return faces(48, 2, 4), landmarks(48, 2, 4)


def test_clip_l14_has_250278_trainable_weights() -> None:
    with torch.device("meta"):
        detector = build({"backbone": {"architecture": "vit_large_patch14_clip_quickgelu_224"}})

    assert sum(value.numel() for value in detector.parameters()) == 250_278
    assert all(value.requires_grad for value in detector.parameters())
    backbone = detector.backbone
    assert (backbone.depth, backbone.width, backbone.heads, backbone.grid) == (24, 1024, 16, 16)


def test_clip_b16_is_read_as_well() -> None:
    with torch.device("meta"):
        detector = build({"backbone": {"architecture": "vit_base_patch16_clip_224"}})

    assert (detector.backbone.depth, detector.backbone.grid) == (12, 14)
    assert detector.backbone._mean == (0.48145466, 0.4578275, 0.40821073)


def test_a_bundle_would_hold_the_decoder_alone(detector: Fcg) -> None:
    kept = sum(value.numel() for value in detector.state_dict().values())
    own = sum(value.numel() for value in detector.parameters())

    assert kept == own + detector.get_buffer("prototypes_LPD").numel()
    assert detector.config.backbone == detector.backbone.config


@torch.inference_mode()
def test_the_order_of_frames_matters_and_only_to_the_temporal_heads(
    detector: Fcg, clips: tuple[torch.Tensor, torch.Tensor]
) -> None:
    shuffled = detector(clips[0][:, [2, 0, 3, 1]], clips[1])
    given = detector(*clips)

    assert not torch.equal(shuffled.head_scores["temporal"], given.head_scores["temporal"])
    torch.testing.assert_close(shuffled.head_scores["spatial"], given.head_scores["spatial"])


@torch.inference_mode()
def test_the_score_is_the_mean_of_three_probabilities(
    detector: Fcg, clips: tuple[torch.Tensor, torch.Tensor]
) -> None:
    output = detector(*clips)

    mean = torch.stack(list(output.head_scores.values())).mean(dim=0)
    torch.testing.assert_close(output.logits_S.sigmoid(), mean)
    assert set(output.head_scores) == set(Fcg.head_names)


@torch.inference_mode()
def test_frames_of_a_still_score_like_the_clip(detector: Fcg) -> None:
    still = faces(48, 1, 1).expand(-1, 4, -1, -1, -1)

    output = detector(still, landmarks(48, 1, 4))
    torch.testing.assert_close(output.frame_logits_ST, output.logits_S[:, None].expand(-1, 4))


def test_queries_start_at_the_prototypes_and_the_loss_holds_them_there() -> None:
    detector = make()
    shape = detector.get_buffer("prototypes_LPD").shape
    prototypes = torch.eye(shape[2])[: len(COMPONENTS)].expand(shape).contiguous()

    batch = FaceBatch(
        faces=faces(48, 2, 4), landmarks=landmarks(48, 2, 4), labels=torch.tensor([0, 1])
    )
    astray = detector.losses(batch)["guidance"]
    detector.guide(prototypes)
    at_home = detector.losses(batch)["guidance"]
    assert at_home < 1e-6 < astray
    assert torch.equal(detector.spatial[3].get_parameter("queries_PD"), prototypes[3])
    with pytest.raises(ValueError, match="prototypes"):
        detector.guide(prototypes[:, :3])


def test_a_clip_that_is_known_costs_little() -> None:
    """Focal loss of two clips, by the heads' own probabilities."""
    detector = make(config=dataclasses.replace(CONFIG, focal_weight=1.0, focal_gamma=0.0))
    batch = FaceBatch(
        faces=faces(48, 2, 4), landmarks=landmarks(48, 2, 4), labels=torch.tensor([0, 1])
    )

    heads = torch.stack(list(detector(batch.faces, batch.landmarks).head_scores.values()))
    right = torch.stack([1 - heads[:, 0], heads[:, 1]])
    torch.testing.assert_close(detector.losses(batch)["focal"], -right.log().mean())


def test_attention_is_shown_as_a_multiple_of_even_attention(detector: Fcg) -> None:
    even = torch.full((1, 9), 1 / 9)
    peaked = torch.eye(9)[:1]

    torch.testing.assert_close(detector.shown(even), torch.full((1, 3, 3), 1 / 8))
    assert detector.shown(peaked)[0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


@torch.inference_mode()
def test_members_of_one_backbone_read_it_once(
    clips: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(0), make(1)
    expected = [first(*clips).logits_S, second(*clips).logits_S]
    passes: list[int] = []
    plain = FrozenBackbone.read

    def counted(backbone: FrozenBackbone, pictures: torch.Tensor, take: object) -> None:
        passes.append(len(pictures))
        plain(backbone, pictures, take)  # type: ignore[arg-type]

    monkeypatch.setattr(FrozenBackbone, "read", counted)
    outputs = score_together([first, second], *clips)
    assert passes == [8]
    for output, logits in zip(outputs, expected, strict=True):
        assert torch.equal(output.logits_S, logits)
    assert not torch.equal(*expected)


def test_members_of_other_inputs_share_nothing(
    detector: Fcg, clips: tuple[torch.Tensor, torch.Tensor]
) -> None:
    other = make(config=dataclasses.replace(CONFIG, segment_frames=3))

    with pytest.raises(ValueError, match="share no features"):
        score_together([detector, other], *clips)
