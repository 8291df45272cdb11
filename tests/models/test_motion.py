import dataclasses
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

from mover_ray.errors import ArtifactError, ConfigError
from mover_ray.models.base import FaceBatch
from mover_ray.models.motion import AnomalyBlock, Motion, MotionConfig
from mover_ray.models.motion_network import BACKBONES, MotionNetwork
from tests.models.samples import faces, landmarks

SMALL = MotionConfig(image_px=64, segment_frames=4)


def make(**changes: Any) -> Motion:
    torch.manual_seed(0)
    return Motion(dataclasses.replace(SMALL, **changes)).eval()


@pytest.fixture(scope="module")
def motion() -> Motion:
    return make()


@pytest.fixture(scope="module")
def batch() -> FaceBatch:
    return FaceBatch(
        faces=faces(64, 2, 4), landmarks=landmarks(64, 2, 4), labels=torch.tensor([0, 1])
    )


def test_a_clip_has_the_mean_of_its_frames_logits(motion: Motion, batch: FaceBatch) -> None:
    output = motion(batch.faces, batch.landmarks)

    torch.testing.assert_close(output.logits_S, output.frame_logits_ST.mean(dim=1))
    torch.testing.assert_close(output.head_scores["motion"], output.logits_S.sigmoid())


def test_the_order_of_the_frames_matters(motion: Motion, batch: FaceBatch) -> None:
    expected = motion(batch.faces, batch.landmarks).logits_S
    order = [0, 2, 1, 3]

    disturbed = motion(batch.faces[:, order], batch.landmarks[:, order]).logits_S

    assert (disturbed - expected).abs().min() > 1e-4


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({}, {"cls", "anomaly_cls", "anomaly_l1"}),
        ({"motion": "cmm"}, {"cls", "anomaly_cls", "anomaly_l1"}),
        ({"anomaly": False}, {"cls"}),
        ({"motion": "none", "anomaly": False}, {"cls"}),
    ],
)
def test_every_ablation_scores_and_learns(
    changes: dict[str, Any], terms: set[str], batch: FaceBatch
) -> None:
    motion = make(**changes)

    output = motion(batch.faces, batch.landmarks)
    assert torch.isfinite(output.logits_S).all()
    assert ("anomaly" in output.head_scores) == motion.config.anomaly
    losses = motion.train().losses(batch)
    assert set(losses) == terms
    torch.stack(list(losses.values())).sum().backward()
    assert [name for name, p in motion.named_parameters() if p.grad is None] == []


def test_weights_scale_their_terms(batch: FaceBatch) -> None:
    plain = make().losses(batch)
    weighted = make(cls2_weight=2.0, l1_weight=0.3).losses(batch)

    for name, factor in (("cls", 1), ("anomaly_cls", 2), ("anomaly_l1", 3)):
        torch.testing.assert_close(weighted[name], plain[name] * factor)


def block(memory: float = 0.5) -> AnomalyBlock:
    return AnomalyBlock(features=4, dimensions=2, memory=memory).train()


def test_the_distance_counts_real_clips_only() -> None:
    anomaly = block().eval()
    places = torch.tensor([[1.0, -2.0], [9.0, 9.0], [3.0, 0.0]], requires_grad=True)

    loss = anomaly.spread(places, torch.tensor([0, 1, 0]))
    loss.backward()

    assert loss.item() == 1.5  # the mean of 1 and 2, and of 3 and 0, from a centre at 0
    assert places.grad is not None
    assert places.grad[1].tolist() == [0.0, 0.0]
    assert places.grad[0].tolist() == [0.25, -0.25]


def test_without_real_clips_nothing_is_compact_and_the_centre_stays() -> None:
    anomaly = block()
    places = torch.ones(2, 2, requires_grad=True)

    loss = anomaly.spread(places, torch.ones(2))

    assert loss.item() == 0.0
    assert loss.requires_grad
    assert anomaly.centre_G.tolist() == [0.0, 0.0]
    assert anomaly.seen.item() == 0


def test_the_centre_is_a_plain_mean_at_first_and_forgets_later() -> None:
    anomaly, real = block(memory=0.5), torch.tensor([0, 1])
    centres = []
    for value in (4.0, 8.0, 2.0):
        anomaly.spread(torch.tensor([[value, 0.0], [99.0, 99.0]]), real)
        centres.append(anomaly.centre_G.tolist())

    assert centres == [[4.0, 0.0], [6.0, 0.0], [4.0, 0.0]]


def test_scoring_and_validation_leave_the_centre_alone(batch: FaceBatch) -> None:
    motion = make()
    assert motion.anomaly is not None

    motion.losses(batch)
    assert motion.anomaly.seen.item() == 0
    motion.train().losses(batch)
    assert motion.anomaly.seen.item() == 1


@pytest.mark.parametrize("name", BACKBONES)
def test_imagenet_weights_start_all_but_the_layers_along_time(name: str) -> None:
    torch.manual_seed(1)
    weights = torchvision.models.get_model(name, weights=None).state_dict()
    network = MotionNetwork(name, "mcb")
    own = {key: value.clone() for key, value in network.state_dict().items() if ".stm." in key}
    detector = make(backbone=name)

    detector.load_start(weights)

    state = detector.network.state_dict()
    for key, value in weights.items():
        if not key.startswith("fc.") and not key.endswith("num_batches_tracked"):
            assert torch.equal(state[key], value), key
    assert {key for key in state if ".stm." in key} == own.keys()


@pytest.mark.parametrize("name", BACKBONES)
@torch.inference_mode()
def test_a_still_clip_passes_as_through_the_resnet(name: str) -> None:
    """Without shift and motion the network is torchvision's."""
    torch.manual_seed(0)
    resnet = torchvision.models.get_model(name, weights=None).eval()
    resnet.fc = torch.nn.Identity()
    detector = make(backbone=name, motion="none")
    detector.load_start(resnet.state_dict())
    for key, value in detector.network.state_dict().items():
        if key.endswith("shift.weight_3F"):
            value.copy_(torch.tensor([[0.0], [1.0], [0.0]]).expand_as(value))
    images = torch.randn(4, 3, 64, 64)

    torch.testing.assert_close(detector.network(images, 2), resnet(images))


def test_weights_of_another_network_are_refused() -> None:
    weights: dict[str, Tensor] = torchvision.models.resnet18(weights=None).state_dict()

    with pytest.raises(ArtifactError, match="of another shape"):
        make(backbone="resnet50").load_start(weights)
    with pytest.raises(ArtifactError, match=r"missing: `bn1\.bias`"):
        make().load_start({})


@pytest.mark.parametrize(("frames", "parameters"), [(8, 24_024_306), (16, 24_024_306)])
def test_the_size_of_the_papers_network(frames: int, parameters: int) -> None:
    with torch.device("meta"):
        motion = Motion(MotionConfig(backbone="resnet50", image_px=224, segment_frames=frames))
        batch = (
            torch.zeros(2, frames, 3, 224, 224, dtype=torch.uint8),
            torch.zeros(2, frames, 68, 2),
        )
        output = motion(*batch)

    assert output.frame_logits_ST.shape == (2, frames)
    assert sum(one.numel() for one in motion.parameters()) == parameters


@pytest.mark.slow
@pytest.mark.timeout(1200)  # minutes of CPU
def test_the_papers_network_learns_one_batch_by_heart() -> None:
    torch.manual_seed(0)
    motion = Motion(MotionConfig(backbone="resnet50", image_px=224)).train()
    optimizer = torch.optim.SGD(motion.parameters(), lr=0.03, momentum=0.9)
    torch.manual_seed(1)
    noise = torch.randint(0, 256, (2, 8, 3, 224, 224), dtype=torch.uint8)
    batch = FaceBatch(faces=noise, landmarks=landmarks(224, 2, 8), labels=torch.tensor([0, 1]))
    history = []
    for _ in range(14):
        terms = motion.losses(batch)
        history.append(terms["cls"].item())
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(motion.parameters(), 5.0)
        optimizer.step()

    assert history[-1] < 0.15, history


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"backbone": "resnet34"}, "unknown backbone: `resnet34`"),
        ({"motion": "tea"}, "unknown motion: `tea`"),
        ({"image_px": 16}, "image_px is out of range: `16`"),
        ({"centre_memory": 1.5}, "centre_memory is out of range"),
        ({"l1_weight": -0.1}, "l1_weight is too small"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        MotionConfig(**settings)
