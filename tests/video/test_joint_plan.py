from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.video.joint_plan import JointPlan, plan_jointly
from mover_ray.video.sampling import SamplingPolicy, Timeline, plan_frames

KEY = b"key"

policies = st.builds(
    SamplingPolicy,
    policy=st.sampled_from(["uniform", "clips", "keyframes"]),
    frames=st.integers(1, 12),
    clips=st.integers(1, 3),
    clip_frames=st.integers(1, 8),
    clip_s=st.floats(0.2, 2),
    group_every_s=st.floats(0.5, 5),
)


def timeline(frames: int) -> Timeline:
    return Timeline(np.arange(frames) / 25, np.arange(frames) % 12 == 0, frames / 25)


@given(st.lists(policies, min_size=1, max_size=4), st.integers(1, 200))
def test_each_policy_gets_the_frames_and_groups_that_it_would_get_alone(
    chosen: list[SamplingPolicy], frames: int
) -> None:
    plan = plan_jointly(chosen, timeline(frames), KEY)

    assert list(plan.indices) == sorted(set(plan.indices))
    assert all(set(groups) != {None} for groups in plan.groups)
    for number, policy in enumerate(chosen):
        alone = plan_frames(policy, timeline(frames), KEY)
        own = [
            (index, groups[number])
            for index, groups in zip(plan.indices, plan.groups, strict=True)
            if groups[number] is not None
        ]
        assert own == list(zip(alone.indices, alone.groups, strict=True))
        assert plan.max_gap_s <= alone.max_gap_s


@given(policies, st.integers(1, 200))
def test_one_policy_is_planned_as_ever(policy: SamplingPolicy, frames: int) -> None:
    plan = plan_jointly([policy, replace(policy)], timeline(frames), KEY)
    alone = plan_frames(policy, timeline(frames), KEY)

    assert plan.indices == alone.indices
    assert plan.groups == tuple((group, group) for group in alone.groups)
    assert plan.max_gap_s == alone.max_gap_s


def test_a_frame_that_stands_for_others_is_everybodys() -> None:
    plan = JointPlan((3, 5, 8), ((0, None), (1, 0), (None, 1)), 0.0)

    assert plan.groups_of(range(3)) == (1, 1)
    assert plan.groups_of(range(1)) == (0, None)
    assert plan.groups_of(range(2, 3)) == (None, 1)
