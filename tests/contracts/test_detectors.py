"""What every detector of the registry must keep to.

Shapes: S segments, T frames of a segment, N single faces.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mover_ray.config import from_mapping, to_mapping
from mover_ray.models import bundle as bundles
from mover_ray.models.base import Detector, FaceBatch
from mover_ray.models.registry import DETECTORS, build_detector
from tests.models.samples import faces, landmarks

_BACKBONE = {"architecture": "vit_tiny_patch16_224", "image_px": 64}

#: The cheapest settings under which a detector still has all its parts.
SMALL: dict[str, dict[str, Any]] = {
    "delocate": {"mae": {"image_px": 64}, "segment_frames": 3},
    "fcg": {"backbone": _BACKBONE, "segment_frames": 3},
    "ln-clip": {"backbone": _BACKBONE, "segment_frames": 3},
    "motion": {"image_px": 64, "segment_frames": 4},
    "mover": {"mae": {"image_px": 64}, "segment_frames": 3},
}

Batch = tuple[Tensor, Tensor]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads that wait for a busy core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(name: str) -> Detector:
    torch.manual_seed(0)
    detector = build_detector(name, SMALL[name]).eval()
    return detector.to(memory_format=torch.channels_last)  # as the scorer runs it


def learnable(batch: Batch) -> FaceBatch:
    """Gives the batch with labels in turn, and the same mask for every face."""
    pictures, points = batch
    masks = torch.zeros(*pictures.shape[:2], *pictures.shape[3:])
    masks[..., 8:24, 8:24] = 1.0
    labels = torch.arange(len(pictures)) % 2
    return FaceBatch(faces=pictures, landmarks=points, labels=labels, masks=masks)


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request: pytest.FixtureRequest) -> Detector:
    return build(request.param)


@pytest.fixture
def batch(detector: Detector) -> Batch:
    spec = detector.spec
    leading = (4, spec.segment_frames)
    return faces(spec.size_px, *leading), landmarks(spec.size_px, *leading)


def test_every_detector_is_swept() -> None:
    assert set(SMALL) == set(DETECTORS)


def test_output_shapes(detector: Detector, batch: Batch) -> None:
    output = detector(*batch)

    assert output.logits_S.shape == (4,)
    assert output.frame_logits_ST.shape == (4, detector.spec.segment_frames)
    assert set(output.head_scores) <= set(detector.head_names)
    for scores in output.head_scores.values():
        assert scores.shape == (4,)
        assert ((scores >= 0) & (scores <= 1)).all()


def test_output_is_float32_and_finite(detector: Detector, batch: Batch) -> None:
    output = detector(*batch)

    for values in (output.logits_S, output.frame_logits_ST, *output.head_scores.values()):
        assert values.dtype == torch.float32
        assert torch.isfinite(values).all()


@torch.inference_mode()
def test_same_input_same_output(detector: Detector, batch: Batch) -> None:
    first, second = detector(*batch), detector(*batch)

    assert torch.equal(first.logits_S, second.logits_S)
    assert torch.equal(first.frame_logits_ST, second.frame_logits_ST)


@torch.inference_mode()
def test_a_segment_scores_the_same_whatever_its_neighbours(
    detector: Detector, batch: Batch
) -> None:
    """Bit-equal on a CPU in a batch of the same size, wherever the segment lies in it."""
    expected = detector(*batch)

    for order in ([3, 2, 1, 0], [1, 1, 1, 1], [0, 3, 0, 3]):
        output = detector(batch[0][order], batch[1][order])
        assert torch.equal(output.logits_S, expected.logits_S[order])
        assert torch.equal(output.frame_logits_ST, expected.frame_logits_ST[order])


@torch.inference_mode()
def test_different_faces_score_differently(detector: Detector, batch: Batch) -> None:
    assert len(set(detector(*batch).logits_S.tolist())) == 4


@torch.inference_mode()
def test_half_precision_scores_much_the_same(detector: Detector, batch: Batch) -> None:
    expected = detector(*batch).logits_S
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = detector(*batch).logits_S

    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)


def test_wrong_inputs_are_refused(detector: Detector, batch: Batch) -> None:
    pictures, points = batch
    for wrong in (pictures.float(), pictures[:, :-1], pictures[..., :-1]):
        with pytest.raises(ValueError, match="expected"):
            detector(wrong, points)
    with pytest.raises(ValueError, match="expected"):
        detector(pictures, points[:, :, :5])


def test_masks(detector: Detector, batch: Batch) -> None:
    if detector.mask_kind is None:
        pytest.skip("this detector makes no masks")
    masks = detector.localize(batch[0][0], batch[1][0])

    size = detector.spec.size_px
    assert masks.dtype == torch.float32
    assert len(masks) == detector.spec.segment_frames
    assert masks.shape[1] == masks.shape[2] <= size
    assert ((masks >= 0) & (masks <= 1)).all()
    assert masks.max() > masks.min()
    assert torch.equal(masks, detector.localize(batch[0][0], batch[1][0]))


@torch.inference_mode()
def test_masks_of_scoring_are_those_of_localizing(detector: Detector, batch: Batch) -> None:
    masks_SThw = detector(*batch).masks_SThw
    if masks_SThw is None:
        pytest.skip("this detector makes no masks while it scores")

    for segment, order in enumerate(([0, 1, 2, 3], [3, 0, 0, 1])):
        alone = detector.localize(batch[0][order[segment]], batch[1][order[segment]])
        torch.testing.assert_close(masks_SThw[order[segment]], alone, rtol=0, atol=1e-5)
        again = detector(batch[0][order], batch[1][order]).masks_SThw
        assert again is not None
        assert torch.equal(again, masks_SThw[order])


def test_losses_are_finite_terms_with_a_gradient(detector: Detector, batch: Batch) -> None:
    losses = detector.losses(learnable(batch))

    for name, loss in losses.items():
        assert loss.shape == (), name
        assert torch.isfinite(loss), name
        assert loss.requires_grad, name


def test_single_faces_and_longer_segments_are_learned_from(
    detector: Detector, batch: Batch
) -> None:
    wanted = set(detector.losses(learnable(batch)))

    for fewer in (learnable(batch).singles(), learnable((batch[0][:, :1], batch[1][:, :1]))):
        assert set(detector.losses(fewer)) == wanted


def test_training_reaches_every_trainable_weight(detector: Detector, batch: Batch) -> None:
    module = build(_name(detector)).train()

    loss = torch.stack(list(module.losses(learnable(batch)).values())).sum()
    loss.backward()
    trainable = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    still = [name for name, p in trainable if p.grad is None or not p.grad.abs().sum() > 0]
    assert trainable
    assert still == []


def test_config_survives_json(detector: Detector) -> None:
    settings = json.loads(json.dumps(to_mapping(detector.config)))

    assert from_mapping(type(detector.config), settings) == detector.config
    assert build_detector(_name(detector), settings).spec == detector.spec


@pytest.mark.parametrize(("storage", "tolerance"), [("float32", 0.0), ("float16", 0.02)])
def test_bundle_gives_the_same_scores(
    detector: Detector, batch: Batch, storage: str, tolerance: float, tmp_path: Path
) -> None:
    name = _name(detector)
    bundle = bundles.init(tmp_path / "bundle", name, SMALL[name], seed=0, storage=storage)

    loaded = bundle.detector().to(memory_format=torch.channels_last)
    assert not loaded.training
    assert loaded.config == detector.config
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded(*batch).logits_S, detector(*batch).logits_S, rtol=0, atol=tolerance
        )


def _name(detector: Detector) -> str:
    module = type(detector).__module__
    return next(name for name, target in DETECTORS.items() if target.startswith(f"{module}:"))
