import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.models.layers.fusion import logit_of_mean


@given(st.lists(st.floats(-12, 12), min_size=1, max_size=6))
def test_is_the_logit_of_the_mean_probability(logits: list[float]) -> None:
    exact = torch.tensor(logits, dtype=torch.float64).sigmoid().mean().logit()

    found = logit_of_mean(torch.tensor(logits), dim=0)
    assert found.item() == pytest.approx(exact.item(), abs=1e-4)


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_stays_finite_and_between(one: float, other: float) -> None:
    found = logit_of_mean(torch.tensor([one, other]), dim=0).item()

    slack = 1e-3 + 1e-6 * max(abs(one), abs(other))
    assert min(one, other) - slack <= found <= max(one, other) + slack


def test_certain_scores_stay_apart() -> None:
    found = logit_of_mean(torch.tensor([[40.0, 40.0], [50.0, 50.0]]), dim=1)

    assert found.tolist() == pytest.approx([40.0, 50.0])
