"""Sizing: arithmetic that must hold, and costs read from a run."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import ConfigError, LocationError
from mover_ray.operations.plan import Fleet, VideoCost, make_plan, measure, parse_count
from mover_ray.pipelines.costs import PricesConfig
from tests.operations.planned_run import write_run

COSTS = st.builds(VideoCost, cpu_s=st.floats(0, 100), gpu_s=st.floats(0, 10))
FLEETS = st.builds(
    Fleet,
    node_cpus=st.integers(1, 128),
    node_gpus=st.integers(1, 8),
    efficiency=st.floats(0.1, 1.0),
)


@given(st.integers(1, 10**9), st.floats(0.1, 1000), COSTS, FLEETS)
def test_the_cluster_is_large_enough_and_no_node_too_large(
    videos: int, hours: float, video: VideoCost, fleet: Fleet
) -> None:
    plan = make_plan(videos, hours, video, fleet, PricesConfig(cpu_hour=1.0, gpu_hour=2.0))
    seconds = hours * 3600 * fleet.efficiency
    for nodes, each, cost in (
        (plan.cpu_nodes, fleet.node_cpus, video.cpu_s),
        (plan.gpu_nodes, fleet.node_gpus, video.gpu_s),
    ):
        assert nodes * each * seconds >= videos * cost * (1 - 1e-9)
        assert (nodes - 1) * each * seconds < videos * cost or nodes == 0
    assert plan.cost is not None
    assert math.isclose(plan.cost, plan.cpu_hours + 2 * plan.gpu_hours)


def test_a_plan_by_hand() -> None:
    video = VideoCost(cpu_s=2.0, gpu_s=0.1, bytes=1e6)
    plan = make_plan(
        7200, 1.0, video, Fleet(node_cpus=4, efficiency=0.5), PricesConfig(cpu_hour=0.5)
    )
    assert (plan.cpu_nodes, plan.gpu_nodes) == (2, 1)
    assert (plan.cpu_hours, plan.gpu_hours) == (8.0, 1.0)
    assert (plan.videos_per_s, plan.gbit_per_s) == (2.0, 0.016)
    assert plan.cost is None  # a GPU has no price
    assert plan.as_json()["video"]["cpu_s"] == 2.0


@pytest.mark.parametrize(
    ("text", "count"),
    [("2500", 2500), ("10M", 10_000_000), ("1.5k", 1500), ("1,000", 1000), ("2B", 2 * 10**9)],
)
def test_counts(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "many", "M", "1T", "inf", "nan"])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(ConfigError, match="not a number"):
        parse_count(text)


@pytest.mark.parametrize(("videos", "hours"), [(0, 1.0), (5, 0.0), (5, float("nan"))])
def test_nothing_to_plan(videos: int, hours: float) -> None:
    with pytest.raises(ConfigError, match="nothing to plan"):
        make_plan(videos, hours, VideoCost(), Fleet(), PricesConfig())


def test_costs_come_from_a_run(tmp_path: Path) -> None:
    with pytest.raises(LocationError, match="no rows"):
        measure(str(tmp_path), on_gpu=True)
    write_run(tmp_path)
    on_gpu = measure(str(tmp_path), on_gpu=True)
    assert on_gpu.cpu_s == pytest.approx(0.6)
    assert (on_gpu.gpu_s, on_gpu.bytes) == (0.2, 500.0)
    assert measure(str(tmp_path), on_gpu=False).cpu_s == pytest.approx(0.8)


def test_prices() -> None:
    assert PricesConfig().cost(0.0, 0.0) == 0.0
    assert PricesConfig(cpu_hour=2.0).cost(3.0, 0.0) == 6.0
    with pytest.raises(ConfigError, match="gpu_hour is too small"):
        PricesConfig(gpu_hour=-1.0)
