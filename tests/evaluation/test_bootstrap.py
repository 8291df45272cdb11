import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import ConfigError
from mover_ray.evaluation.bootstrap import BootstrapConfig, estimate, mean_interval
from mover_ray.evaluation.metrics import average_precision, equal_error_rate, roc_auc, tpr_at_fpr
from mover_ray.evaluation.ranking import Counts, Ranking

METRICS = {"auc": Counts.auc, "ap": Counts.average_precision}


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    fake = np.arange(count) % 2 == 0
    return fake, rng.normal(fake.astype(float), 1.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=2))
def test_a_weight_is_as_good_as_copies_of_the_video(rows: list[tuple[bool, int, int]]) -> None:
    fake, level, weight = (np.array(column) for column in zip(*rows, strict=True))
    labels, scores = np.repeat(fake, weight), np.repeat(level / 5, weight)
    if not labels.any() or labels.all():
        return

    ranking = Ranking.of(fake, level / 5)
    counts = ranking.count(weight[ranking.order].astype(float)[None])

    assert counts.auc()[0] == pytest.approx(roc_auc(labels, scores))
    assert counts.average_precision()[0] == pytest.approx(average_precision(labels, scores))
    assert counts.tpr_at_fpr(0.2)[0] == pytest.approx(tpr_at_fpr(labels, scores, 0.2))
    assert counts.equal_error_rate()[0] == pytest.approx(equal_error_rate(labels, scores))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    # Logits one spread apart: the true AUC is Phi(1 / sqrt 2).
    hits = 0
    for seed in range(100):
        fake, scores = drawn(120, seed)
        config = BootstrapConfig(draws=200, seed=seed)
        found = estimate(fake, scores, np.arange(120), METRICS, config)["auc"]
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.7602 <= found.high
    assert 87 <= hits <= 100


def test_copies_of_people_do_not_narrow_an_interval() -> None:
    _, scores = drawn(60)
    config = BootstrapConfig(draws=300)
    once = mean_interval(scores, np.arange(60), config)
    many = np.repeat(np.arange(60), 20)

    by_person = mean_interval(np.repeat(scores, 20), many, config)
    by_video = mean_interval(np.repeat(scores, 20), np.arange(1200), config)

    assert (by_person.low, by_person.high) == pytest.approx((once.low, once.high))
    assert by_video.high - by_video.low < 0.5 * (once.high - once.low)  # type: ignore[operator]


def test_the_seed_decides_and_the_block_size_does_not(monkeypatch) -> None:
    fake, scores = drawn(50)

    def run(seed: int) -> object:
        config = BootstrapConfig(draws=100, seed=seed)
        return estimate(fake, scores, np.arange(50), METRICS, config)

    first = run(1)
    assert run(1) == first != run(2)
    monkeypatch.setattr("mover_ray.evaluation.bootstrap._CELLS", 7 * 50)
    assert run(1) == first


def test_one_person_gives_a_figure_without_an_interval() -> None:
    fake, scores = drawn(10)
    found = estimate(fake, scores, np.zeros(10, np.int64), METRICS, BootstrapConfig())
    assert found["auc"].value == roc_auc(fake, scores)
    assert found["auc"].low is None


def test_draws_of_one_kind_are_left_out() -> None:
    # With one real in three, more than a quarter of the draws have no real at all.
    found = estimate(
        np.array([True, True, False]),
        np.array([0.2, 0.9, 0.5]),
        np.arange(3),
        METRICS,
        BootstrapConfig(draws=200),
    )
    assert (found["auc"].low, found["auc"].high) == (0.0, 1.0)


def test_thinning_moves_no_figure_that_matters() -> None:
    fake, scores = drawn(20_000)
    ranking = Ranking.of(fake, scores)
    thin, full = ranking.thinned(100, 400).count(), ranking.count()
    assert len(thin.thresholds) < 1200
    assert thin.auc() == pytest.approx(full.auc(), abs=1e-4)
    assert thin.average_precision() == pytest.approx(full.average_precision(), abs=1e-3)
    assert thin.equal_error_rate() == pytest.approx(full.equal_error_rate(), abs=1e-3)
    assert thin.tpr_at_fpr(0.005) == full.tpr_at_fpr(0.005)
    assert thin.balanced_accuracy(0.5) == pytest.approx(full.balanced_accuracy(0.5), abs=2e-3)
    assert (thin.fakes[-1], thin.reals[-1]) == (10_000, 10_000)


def test_settings_that_make_no_interval_are_refused() -> None:
    with pytest.raises(ConfigError, match="draws"):
        BootstrapConfig(draws=-1)
    with pytest.raises(ConfigError, match="level"):
        BootstrapConfig(level=1.0)
