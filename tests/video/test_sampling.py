import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import ConfigError
from mover_ray.video.sampling import SamplingPlan, SamplingPolicy, Timeline, plan_frames

KEY = b"operator's secret"


def regular(frames: int, fps: float = 25.0, gop: int = 50) -> Timeline:
    numbers = np.arange(frames)
    return Timeline(numbers / fps, numbers % gop == 0, frames / fps)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Videos of uneven frame distance with keyframes anywhere, or nowhere."""
    steps_ms = draw(st.lists(st.integers(1, 5_000), min_size=1, max_size=80))
    ends_s = np.cumsum(steps_ms) / 1000
    keyframes = draw(st.lists(st.booleans(), min_size=len(steps_ms), max_size=len(steps_ms)))
    times_s = np.concatenate([[0.0], ends_s[:-1]])
    return Timeline(times_s, np.array(keyframes), float(ends_s[-1]))


policies = st.builds(
    SamplingPolicy,
    policy=st.sampled_from(["auto", "uniform", "clips", "keyframes"]),
    frames=st.integers(1, 64),
    clips=st.integers(1, 8),
    clip_frames=st.integers(1, 20),
    clip_s=st.floats(0.1, 20),
    group_frames=st.integers(1, 6),
    group_every_s=st.floats(0.1, 30),
    max_frames=st.integers(1, 80),
)


def groups_of(plan: SamplingPlan) -> list[list[int]]:
    return [
        [index for index, owner in zip(plan.indices, plan.groups, strict=True) if owner == group]
        for group in range(max(plan.groups) + 1)
    ]


@given(timelines(), policies, st.binary(max_size=100))
def test_every_plan_is_sorted_unique_in_range_and_within_budget(
    timeline: Timeline, policy: SamplingPolicy, key: bytes
) -> None:
    plan = plan_frames(policy, timeline, key)
    assert 1 <= len(plan.indices) <= policy.max_frames
    assert list(plan.indices) == sorted(set(plan.indices))
    assert plan.indices[0] >= 0
    assert plan.indices[-1] < len(timeline.times_s)
    assert len(plan.groups) == len(plan.indices)
    assert sorted(set(plan.groups)) == list(range(max(plan.groups) + 1))
    assert list(plan.groups) == sorted(plan.groups)


@given(timelines(), policies)
def test_the_gap_is_the_longest_stretch_without_a_sampled_frame(
    timeline: Timeline, policy: SamplingPolicy
) -> None:
    plan = plan_frames(policy, timeline, KEY)
    edges = [0.0, *(float(timeline.times_s[index]) for index in plan.indices), timeline.duration_s]
    assert plan.max_gap_s == pytest.approx(max(b - a for a, b in itertools.pairwise(edges)))


@given(st.integers(1, 5000), st.integers(1, 64))
def test_uniform_takes_the_middle_of_equal_parts(available: int, frames: int) -> None:
    plan = plan_frames(SamplingPolicy(policy="uniform", frames=frames), regular(available), KEY)
    wanted = min(frames, available)
    middles = [(part + 0.5) * available / wanted for part in range(wanted)]
    assert len(plan.indices) == wanted
    assert all(0 <= m - i < 1 for m, i in zip(middles, plan.indices, strict=True))
    steps = np.diff(plan.indices)
    assert steps.size == 0 or steps.max() - steps.min() <= 1
    assert plan.groups == tuple(range(wanted))


@given(st.integers(1, 32))
def test_a_video_of_fewer_frames_gives_all_of_them_once(available: int) -> None:
    plan = plan_frames(SamplingPolicy(policy="uniform", frames=32), regular(available), KEY)
    assert plan.indices == tuple(range(available))


def test_clips_are_even_runs_spread_over_the_video() -> None:
    policy = SamplingPolicy(policy="clips", clips=4, clip_frames=10, clip_s=3.0)
    plan = plan_frames(policy, regular(2500), KEY)
    clips = groups_of(plan)
    assert [len(clip) for clip in clips] == [10] * 4
    for number, clip in enumerate(clips):
        middle_s = (clip[0] + clip[-1]) / 2 / 25
        assert middle_s == pytest.approx((number + 0.5) * 25, abs=0.1)
        assert clip[-1] - clip[0] == pytest.approx(0.9 * 3.0 * 25, abs=1)
        assert max(np.diff(clip)) - min(np.diff(clip)) <= 1


@pytest.mark.parametrize(("frames", "clips"), [(20, 1), (75, 1), (149, 1), (150, 2), (400, 4)])
def test_as_many_clips_are_taken_as_fit(frames: int, clips: int) -> None:
    policy = SamplingPolicy(policy="clips", clips=4, clip_frames=10, clip_s=3.0)
    assert len(groups_of(plan_frames(policy, regular(frames), KEY))) == clips


@given(timelines(), policies, st.binary(max_size=20))
def test_every_group_is_a_run_from_a_keyframe(
    timeline: Timeline, policy: SamplingPolicy, key: bytes
) -> None:
    plan = plan_frames(_as_keyframes(policy), timeline, key)
    for group in groups_of(plan):
        assert group == list(range(group[0], group[-1] + 1))
        assert timeline.keyframes[group[0]] or group[0] == 0


@given(timelines(), policies)
def test_keyframes_gives_the_least_number_where_the_video_has_it(
    timeline: Timeline, policy: SamplingPolicy
) -> None:
    plan = plan_frames(_as_keyframes(policy), timeline, KEY)
    assert len(plan.indices) >= min(policy.frames, policy.max_frames, len(timeline.times_s))


def test_keyframes_looks_into_every_window_of_a_long_video() -> None:
    policy = SamplingPolicy(policy="keyframes", group_every_s=10.0)
    plan = plan_frames(policy, regular(25 * 600), KEY)
    starts = [group[0] / 25 for group in groups_of(plan)]
    assert [int(start_s // 10) for start_s in starts] == list(range(60))
    assert {len(group) for group in groups_of(plan)} == {3}
    assert plan.max_gap_s < 20


def test_rare_keyframes_make_longer_groups() -> None:
    plan = plan_frames(SamplingPolicy(policy="keyframes"), regular(2000, gop=500), KEY)
    assert [len(group) for group in groups_of(plan)] == [8, 8, 8, 8]


def test_the_key_moves_the_groups_and_alone_does() -> None:
    policy = SamplingPolicy(policy="keyframes")
    timeline = regular(25 * 600, gop=10)
    plans = {plan_frames(policy, timeline, bytes([number])).indices for number in range(20)}
    assert len(plans) == 20
    assert plan_frames(policy, timeline, KEY) == plan_frames(policy, timeline, KEY)


def test_the_jitter_reaches_the_whole_window() -> None:
    policy = SamplingPolicy(policy="keyframes", frames=1, group_frames=1, group_every_s=10.0)
    timeline = regular(250, gop=1)
    starts = [plan_frames(policy, timeline, bytes([n])).indices[0] for n in range(200)]
    assert min(starts) < 15
    assert max(starts) > 235
    assert np.mean(starts) == pytest.approx(125, abs=20)


@pytest.mark.parametrize(("duration_s", "kind"), [(60, "uniform"), (61, "keyframes")])
def test_auto_goes_by_the_duration(duration_s: int, kind: str) -> None:
    timeline = regular(25 * duration_s)
    chosen = plan_frames(SamplingPolicy(policy="auto"), timeline, KEY)
    assert chosen == plan_frames(SamplingPolicy(policy=kind), timeline, KEY)


def test_a_wrong_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown policy: `randomly`"):
        SamplingPolicy(policy="randomly")
    with pytest.raises(ConfigError, match="frames is too small: `0`"):
        SamplingPolicy(frames=0)


def _as_keyframes(policy: SamplingPolicy) -> SamplingPolicy:
    return SamplingPolicy(
        policy="keyframes",
        frames=policy.frames,
        group_frames=policy.group_frames,
        group_every_s=policy.group_every_s,
        max_frames=policy.max_frames,
    )
