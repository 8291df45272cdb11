import pytest
import torch
from torch import Tensor

from mover_ray.models.base import Detector
from mover_ray.models.frozen_backbone import FrozenBackbone, Take
from mover_ray.models.registry import build_detector
from mover_ray.stages.shared_features import SharingDetector, share_features
from tests.models.samples import faces, landmarks

SETTINGS = {
    "backbone": {"architecture": "vit_tiny_patch16_224", "image_px": 32},
    "segment_frames": 2,
}


def fcg(seed: int, **changes: object) -> Detector:
    torch.manual_seed(seed)
    return build_detector("fcg", {**SETTINGS, **changes}).eval()


def batches() -> list[tuple[Tensor, Tensor]]:
    pictures, points = faces(32, 6, 2), landmarks(32, 6, 2)
    return [(pictures[:2], points[:2]), (pictures[2:4], points[2:4]), (pictures[4:], points[4:])]


@torch.inference_mode()
def test_one_pass_serves_all_who_read_the_same_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    detectors = [fcg(0), fcg(1), build_detector("motion", {"image_px": 32}).eval()]
    expected = [one(*batch).logits_S for one in detectors[:2] for batch in batches()]
    passes: list[int] = []
    read = FrozenBackbone.read

    def counted(backbone: FrozenBackbone, images: Tensor, take: Take) -> None:
        passes.append(len(images))
        read(backbone, images, take)

    monkeypatch.setattr(FrozenBackbone, "read", counted)

    sharing, shared = share_features(detectors, [0, 0, 0])
    for _ in range(2):
        for one in shared:
            one.begin()
        found = [one(*batch).logits_S for one in sharing[:2] for batch in batches()]
        assert all(map(torch.equal, found, expected))

    assert len(passes) == 2 * len(batches())
    assert sharing[2] is detectors[2]
    assert isinstance(sharing[0], SharingDetector)
    assert sharing[0].spec == detectors[0].spec
    single = faces(32, 1), landmarks(32, 1)
    assert torch.equal(sharing[0].localize(*single), detectors[0].localize(*single))


def test_other_crops_inputs_or_backbones_are_not_shared() -> None:
    other = {"architecture": "vit_tiny_patch16_224", "image_px": 48}
    for detectors, places in (
        ([fcg(0), fcg(1)], [0, 1]),
        ([fcg(0), fcg(1, segment_frames=3)], [0, 0]),
        ([fcg(0), fcg(1, backbone=other)], [0, 0]),
    ):
        sharing, shared = share_features(detectors, places)
        assert sharing == detectors
        assert shared == []
