import numpy as np
import pytest

from mover_ray.evaluation.localization import MaskScore


def test_figures_by_hand() -> None:
    score = MaskScore()
    truth = np.array([[True, True], [False, False]])
    score.add(truth, np.array([[255, 100], [200, 0]], np.uint8))
    score.add(np.zeros((2, 2), bool), np.array([[128, 127], [0, 0]], np.uint8))
    found = score.as_json()
    assert (found["fake_masks"], found["real_masks"]) == (1, 1)
    assert found["iou"] == pytest.approx(1 / 3)
    assert found["f1"] == pytest.approx(1 / 2)
    assert found["pixel_accuracy"] == pytest.approx(1 / 2)
    assert found["pixel_auc"] == pytest.approx(3 / 4)
    assert found["false_positive_area"] == pytest.approx(1 / 4)


def test_reals_alone_have_an_area_of_false_alarms_and_nothing_else() -> None:
    score = MaskScore()
    score.add(np.zeros((2, 2), bool), np.zeros((2, 2), np.uint8))
    found = score.as_json()
    assert found["false_positive_area"] == 0.0
    assert found["pixel_auc"] is found["iou"] is found["pixel_accuracy"] is None


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        MaskScore().add(np.zeros((2, 2), bool), np.zeros((2, 3), np.uint8))
