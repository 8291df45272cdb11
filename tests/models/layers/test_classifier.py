import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.models.layers.classifier import Classifier


@given(st.integers(1, 50), st.sampled_from([147, 154, 192, 384, 768]), st.integers(1, 2))
def test_a_row_is_the_same_at_every_place(rows: int, features: int, outputs: int) -> None:
    torch.manual_seed(rows)
    layer, batch = Classifier(features, outputs), torch.randn(rows, features)

    expected = layer(batch)
    for shift in range(1, rows):
        assert torch.equal(layer(batch.roll(shift, 0)), expected.roll(shift, 0))


@pytest.mark.parametrize("leading", [(4,), (2, 3)])
def test_is_a_linear_layer(leading: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, batch = Classifier(192, 2), torch.randn(*leading, 192)

    torch.testing.assert_close(
        layer(batch), torch.nn.functional.linear(batch, layer.weight, layer.bias)
    )
