import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import ConfigError
from mover_ray.training.sampler import EpochPlan, Share, cycled, shuffled

plans = st.builds(
    EpochPlan,
    num_units=st.integers(1, 60),
    batch_units=st.integers(1, 20),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 5),
)


def seen(plan: EpochPlan, step: int, world_size: int, micro: int) -> list[int]:
    """Gives what all ranks together learn from in a step."""
    return [
        unit
        for rank in range(world_size)
        for share in plan.shares(step, rank, world_size, micro)
        if share.weight
        for unit in plan.units(share).tolist()
    ]


@given(plans, st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(1, 9))
def test_every_unit_is_seen_once_though_workers_come_and_go(
    plan: EpochPlan, world_sizes: list[int], micro: int
) -> None:
    units = [
        unit
        for step in range(plan.num_steps)
        for unit in seen(plan, step, world_sizes[step % len(world_sizes)], micro)
    ]

    assert sorted(units) == list(range(plan.num_units))


@given(plans, st.integers(1, 7), st.integers(1, 9))
def test_a_batch_is_the_same_whoever_computes_it(
    plan: EpochPlan, world_size: int, micro: int
) -> None:
    for step in range(plan.num_steps):
        assert seen(plan, step, world_size, micro) == seen(plan, step, 1, plan.num_units)


@given(plans, st.integers(1, 7), st.integers(1, 9))
def test_weights_make_a_mean_over_the_batch(plan: EpochPlan, world_size: int, micro: int) -> None:
    value = np.random.default_rng(0).random(plan.num_units)
    for step in range(plan.num_steps):
        shares = [plan.shares(step, rank, world_size, micro) for rank in range(world_size)]
        by_rank = [sum(s.weight * value[plan.units(s)].mean() for s in own) for own in shares]
        assert all(len(plan.units(s)) <= micro for own in shares for s in own)

        wanted = value[seen(plan, step, 1, plan.num_units)].mean()
        assert np.mean(by_rank) == pytest.approx(wanted)


@given(plans)
def test_batches_differ_by_one_unit_at_most(plan: EpochPlan) -> None:
    sizes = {len(seen(plan, step, 1, plan.num_units)) for step in range(plan.num_steps)}

    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= plan.batch_units


def test_a_rank_without_work_keeps_company_with_weight_zero() -> None:
    plan = EpochPlan(num_units=1, batch_units=4, seed=0, epoch=0)

    assert [len(plan.shares(0, rank, 3, 2)) for rank in range(3)] == [1, 1, 1]
    assert sorted(plan.shares(0, rank, 3, 2)[0].weight for rank in range(3)) == [0.0, 0.0, 3.0]


def test_order_is_another_in_each_epoch_and_for_each_seed() -> None:
    orders = [
        EpochPlan(50, 10, seed, epoch).units(Share(0, 50, 1.0)).tolist()
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]

    assert orders[0] != orders[1]
    assert orders[0] != orders[2]
    assert orders[0] == EpochPlan(50, 7, 0, 0).units(Share(0, 50, 1.0)).tolist()


@given(st.integers(1, 20), st.integers(0, 60), st.integers(1, 40))
def test_a_smaller_pool_is_gone_through_evenly(pool: int, first: int, length: int) -> None:
    units = cycled(pool, 3, 0, Share(first, first + length, 1.0))
    whole = cycled(pool, 3, 0, Share(0, first + length, 1.0))
    counts = np.bincount(whole, minlength=pool)

    assert units.tolist() == whole[first:].tolist()
    assert counts.max() - counts.min() <= 1


def test_nobody_writes_into_a_shared_order() -> None:
    with pytest.raises(ValueError, match="read-only"):
        shuffled(5, 0, 0)[0] = 1


@pytest.mark.parametrize(
    ("units", "batch", "message"), [(0, 4, "nothing to train on"), (4, 0, "batch_size")]
)
def test_nothing_to_do_is_refused(units: int, batch: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EpochPlan(units, batch, 0, 0)
