import math

import pytest
import torch

from mover_ray.models.layers.losses import (
    alignment_loss,
    focal_loss,
    label_loss,
    mask_losses,
    uniformity_loss,
)

REAL, FAKE = 0, 1


def test_labels_of_any_type_give_the_cross_entropy() -> None:
    logits = torch.tensor([0.0, math.log(3)])

    for labels in (torch.tensor([0, 1]), torch.tensor([False, True]), torch.tensor([0.0, 1.0])):
        expected = (math.log(2) + math.log(4 / 3)) / 2
        assert label_loss(logits, labels).item() == pytest.approx(expected)


def test_a_half_sure_mask_by_hand() -> None:
    truth = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])

    cross_entropy, dice = mask_losses(torch.zeros(1, 2, 2), torch.tensor([FAKE]), truth, None)
    assert cross_entropy.item() == pytest.approx(math.log(2))
    # One pixel of smoothing on both sides: 1 - (2 * 1 + 1) / (2 + 2 + 1).
    assert dice.item() == pytest.approx(1 - 3 / 5)


def test_a_perfect_mask_costs_nothing_even_if_it_is_empty() -> None:
    truth = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])

    for loss in mask_losses((truth - 0.5) * 200, torch.tensor([FAKE, REAL]), truth, None):
        assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_the_truth_of_a_real_face_is_an_empty_mask_whatever_is_given() -> None:
    logits, labels = torch.randn(1, 3, 3), torch.tensor([REAL])
    empty = mask_losses(logits, labels, torch.zeros(1, 3, 3), None)

    for masks, known in (
        (None, None),
        (torch.ones(1, 3, 3), torch.tensor([True])),
        (torch.full((1, 3, 3), math.nan), torch.tensor([False])),
    ):
        assert mask_losses(logits, labels, masks, known) == empty


@pytest.mark.parametrize("masks", [None, torch.full((2, 3, 3), math.nan)])
def test_a_fake_without_truth_has_no_say(masks: torch.Tensor | None) -> None:
    logits = torch.randn(2, 3, 3, requires_grad=True)
    known = None if masks is None else torch.tensor([False, False])

    cross_entropy, dice = mask_losses(logits, torch.tensor([REAL, FAKE]), masks, known)
    alone = mask_losses(logits[:1], torch.tensor([REAL]), None, None)
    assert (cross_entropy, dice) == alone
    (cross_entropy + dice).backward()
    assert logits.grad is not None
    assert (logits.grad[0] != 0).all()
    assert (logits.grad[1] == 0).all()


def test_without_any_truth_there_is_no_loss() -> None:
    logits = torch.randn(2, 3, 3, requires_grad=True)

    total = sum(mask_losses(logits, torch.tensor([FAKE, FAKE]), None, None))
    assert isinstance(total, torch.Tensor)
    assert total.item() == 0.0
    total.backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_without_gamma_the_focal_loss_is_cross_entropy() -> None:
    logits, labels = torch.tensor([-2.0, 0.3, 5.0]), torch.tensor([REAL, FAKE, REAL])

    torch.testing.assert_close(focal_loss(logits, labels, 0.0), label_loss(logits, labels))


def test_the_focal_loss_by_hand() -> None:
    logits, labels = torch.tensor([math.log(3), math.log(3)]), torch.tensor([FAKE, REAL])

    # Probabilities 3/4 and 1/4 of the right class.
    expected = ((1 / 4) ** 4 * math.log(4 / 3) + (3 / 4) ** 4 * math.log(4)) / 2
    assert focal_loss(logits, labels, 4.0).item() == pytest.approx(expected)
    certain = torch.tensor([500.0], requires_grad=True)
    focal_loss(certain, torch.tensor([REAL]), 4.0).backward()
    assert certain.grad is not None
    assert certain.grad.item() == pytest.approx(1.0)


def test_alignment_and_uniformity_by_hand() -> None:
    """Two fakes at a right angle and a real face opposite of the first."""
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    labels = torch.tensor([FAKE, FAKE, REAL])

    assert alignment_loss(features, labels).item() == pytest.approx(2)
    mean = (math.exp(-4) + math.exp(-8) + math.exp(-4)) / 3
    assert uniformity_loss(features).item() == pytest.approx(math.log(mean))


def test_faces_that_are_alone_in_their_class_align_with_nothing() -> None:
    features = torch.eye(2, requires_grad=True)

    loss = alignment_loss(features, torch.tensor([FAKE, REAL])) + uniformity_loss(features[:1])
    loss.backward()
    assert loss.item() == 0.0
    assert features.grad is not None
    assert not features.grad.any()
