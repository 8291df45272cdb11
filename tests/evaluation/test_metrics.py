import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.evaluation.metrics import (
    PixelAuc,
    average_precision,
    balanced_accuracy,
    brier_score,
    equal_error_rate,
    expected_calibration_error,
    f1_score,
    iou,
    reliability,
    roc_auc,
    roc_curve,
    tpr_at_fpr,
)

FAKE, REAL = True, False


def labelled(*pairs) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = zip(*pairs, strict=True)
    return np.array(labels), np.array(scores, dtype=np.float64)


# Three fakes and two reals, one tie across the kinds.
CASE: tuple[np.ndarray, np.ndarray] = labelled(
    (FAKE, 0.9), (REAL, 0.8), (FAKE, 0.8), (FAKE, 0.3), (REAL, 0.1)
)


@st.composite
def samples(draw) -> tuple[np.ndarray, np.ndarray]:
    """Labels of both kinds with scores on a coarse grid, so that ties are common."""
    size = draw(st.integers(2, 40))
    labels = draw(
        st.lists(st.booleans(), min_size=size, max_size=size).filter(lambda ls: 0 < sum(ls) < size)
    )
    levels = draw(st.lists(st.integers(0, 8), min_size=size, max_size=size))
    return np.array(labels), np.array(levels) / 8


def test_auc_counts_pairs_by_hand():
    # Of six pairs, four fakes win, one ties and one loses.
    assert roc_auc(*CASE) == pytest.approx(4.5 / 6)


def test_average_precision_by_hand():
    # Found at 1 of 1, 2 of 3 (the tie comes together) and 3 of 4.
    assert average_precision(*CASE) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_roc_curve_joins_ties():
    curve = roc_curve(*CASE)
    np.testing.assert_allclose(curve.false_positive_rate, [0, 0, 0.5, 0.5, 1])
    np.testing.assert_allclose(curve.true_positive_rate, [0, 1 / 3, 2 / 3, 1, 1])
    np.testing.assert_allclose(curve.thresholds, [np.inf, 0.9, 0.8, 0.3, 0.1])


def test_equal_error_rate_lies_on_the_segment_between_two_thresholds():
    # From (0, 1/3) to (1/2, 2/3): fpr = 1 - tpr at fpr = 0.4.
    assert equal_error_rate(*CASE) == pytest.approx(0.4)


def test_equal_error_rate_of_a_perfect_and_of_an_inverted_score():
    labels = np.array([FAKE, REAL])
    assert equal_error_rate(labels, np.array([1.0, 0.0])) == 0
    assert equal_error_rate(labels, np.array([0.0, 1.0])) == 1
    assert equal_error_rate(labels, np.array([0.5, 0.5])) == 0.5


def test_tpr_at_fpr_takes_a_threshold_that_exists():
    assert tpr_at_fpr(*CASE, 0.0) == pytest.approx(1 / 3)
    assert tpr_at_fpr(*CASE, 0.49) == pytest.approx(1 / 3)
    assert tpr_at_fpr(*CASE, 0.5) == 1


def test_balanced_accuracy_calls_the_threshold_itself_fake():
    assert balanced_accuracy(*CASE, threshold=0.8) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_brier_score_by_hand():
    labels, probabilities = labelled((FAKE, 0.75), (REAL, 0.5))
    assert brier_score(labels, probabilities) == pytest.approx((0.0625 + 0.25) / 2)


def test_calibration_error_by_hand():
    # Bin [0.8, 1): two videos at 0.85 and 0.95, one of them fake; bin [0, 0.2): one real at 0.1.
    labels, probabilities = labelled((FAKE, 0.85), (REAL, 0.95), (REAL, 0.1))
    expected = 2 / 3 * (0.9 - 0.5) + 1 / 3 * 0.1
    assert expected_calibration_error(labels, probabilities, bins=5) == pytest.approx(expected)


def test_probability_one_falls_into_the_last_bin():
    table = reliability(*labelled((FAKE, 1.0), (REAL, 0.0)), bins=10)
    np.testing.assert_allclose(table.predicted, [0, 1])
    np.testing.assert_allclose(table.share, [0.5, 0.5])


@given(samples())
def test_agrees_with_scikit_learn(sample):
    labels, scores = sample
    assert roc_auc(labels, scores) == pytest.approx(reference.roc_auc_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(
        reference.average_precision_score(labels, scores)
    )
    assert brier_score(labels, scores) == pytest.approx(reference.brier_score_loss(labels, scores))
    assert balanced_accuracy(labels, scores, 0.5) == pytest.approx(
        reference.balanced_accuracy_score(labels, scores >= 0.5)
    )


@given(samples())
def test_order_of_the_videos_and_scale_of_the_scores_do_not_matter(sample):
    labels, scores = sample
    for metric in (roc_auc, average_precision, equal_error_rate):
        value = metric(labels, scores)
        assert metric(labels[::-1], scores[::-1]) == value
        assert metric(labels, np.exp(3 * scores)) == value
        assert 0 <= value <= 1


@given(samples())
def test_inverted_scores_mirror_the_errors(sample):
    labels, scores = sample
    assert roc_auc(labels, -scores) == pytest.approx(1 - roc_auc(labels, scores))
    assert equal_error_rate(labels, -scores) == pytest.approx(1 - equal_error_rate(labels, scores))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([True, True], [0.1, 0.2], "one kind only"),
        ([True, False], [0.1, np.nan], "finite"),
        ([True, False], [0.1], "do not fit"),
        ([], [], "do not fit"),
    ],
)
def test_refuses_what_has_no_answer(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        roc_auc(np.array(labels, dtype=bool), np.array(scores, dtype=np.float64))


def test_refuses_labels_that_are_numbers():
    with pytest.raises(ValueError, match="booleans"):
        roc_auc(np.array([0, 1]), np.array([0.0, 1.0]))


def test_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        brier_score(np.array([True]), np.array([1.5]))


def test_mask_scores_by_hand():
    truth = np.array([[1, 1], [0, 0]], dtype=bool)
    predicted = np.array([[1, 0], [1, 0]], dtype=bool)
    assert iou(truth, predicted) == pytest.approx(1 / 3)
    assert f1_score(truth, predicted) == pytest.approx(1 / 2)


def test_empty_truth_has_no_overlap_score():
    empty = np.zeros((2, 2), dtype=bool)
    with pytest.raises(ValueError, match="empty"):
        iou(empty, ~empty)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_pixel_auc_is_the_auc_of_all_pixels(seed, masks):
    rng = np.random.default_rng(seed)
    truths = rng.random((masks, 5, 7)) < 0.4
    truths[0, 0, :2] = True, False
    predictions = rng.integers(0, 6, truths.shape).astype(np.uint8)
    auc = PixelAuc()
    for truth, predicted in zip(truths, predictions, strict=True):
        auc.add(truth, predicted)
    assert auc.value() == pytest.approx(roc_auc(truths.ravel(), predictions.ravel().astype(float)))


def test_pixel_auc_of_one_kind_is_undefined():
    auc = PixelAuc()
    auc.add(np.ones((2, 2), dtype=bool), np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match="one kind"):
        auc.value()
