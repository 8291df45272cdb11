"""Reservations: every pool fits the nodes and leaves room for Ray's own tasks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.filterwarnings("ignore")  # of importing Ray

from mover_ray.pipelines.job import PipelineConfig  # noqa: E402
from mover_ray.pipelines.resources import size_pools  # noqa: E402


@given(st.lists(st.integers(1, 96), min_size=1, max_size=8), st.integers(0, 8))
def test_the_pools_leave_one_cpu_free(node_cpus: list[int], gpus: int) -> None:
    pools = size_pools([float(cpus) for cpus in node_cpus], gpus, PipelineConfig())
    reserved = pools.prepare_min * pools.prepare_cpus + pools.finish_min * pools.finish_cpus
    assert reserved <= sum(node_cpus) - 1 + 1e-9
    assert pools.prepare_min >= len(node_cpus)
    assert pools.finish_min >= 1
    assert pools.finish_gpus == (1.0 if gpus else 0.0)
    per_node = pools.prepare_cpus * max(node_cpus)
    assert per_node <= max(node_cpus)


def test_two_cores_carry_two_decoders_and_a_scorer() -> None:
    pools = size_pools([2.0], 0, PipelineConfig())
    assert (pools.prepare_min, pools.finish_min) == (2, 1)
    assert pools.prepare_cpus == pytest.approx(0.4)
    assert pools.finish_cpus == pytest.approx(0.2)


def test_pools_grow_with_the_nodes_that_may_come() -> None:
    pools = size_pools([8.0, 8.0], 2, PipelineConfig(max_nodes=6))
    assert (pools.prepare_min, pools.prepare_max) == (16, 48)
    assert (pools.finish_min, pools.finish_max) == (2, 6)


def test_no_pool_is_larger_than_the_blocks() -> None:
    pools = size_pools([64.0], 0, PipelineConfig()).at_most(3)
    assert (pools.prepare_min, pools.prepare_max, pools.finish_max) == (3, 3, 3)
