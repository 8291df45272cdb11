"""One pass over a video for several sampling policies: the union of what they choose."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mover_ray.video.sampling import (
    SamplingPlan,
    SamplingPolicy,
    Timeline,
    longest_gap_s,
    plan_frames,
)

#: The group of a frame under each policy, in their order; None for one that did not choose it.
Groups: TypeAlias = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class JointPlan:
    """The frames to take, in display order."""

    indices: tuple[int, ...]
    """Frame indices, ascending, none twice."""
    groups: tuple[Groups, ...]
    """Of each frame; at least one policy chose it."""
    max_gap_s: float
    """Longest stretch of the video without a sampled frame, both ends included."""

    def groups_of(self, positions: range) -> Groups:
        """Gives the groups of a frame that stands for those at neighbouring positions.

        Where some could not be decoded, a policy meets the last of those that it chose.
        """
        lined_up = zip(*(self.groups[position] for position in positions), strict=True)
        return tuple(_last(groups) for groups in lined_up)


def plan_jointly(policies: Sequence[SamplingPolicy], timeline: Timeline, key: bytes) -> JointPlan:
    """Chooses the frames of one video; every policy chooses what it would choose alone.

    Args:
        policies: At least one.
        timeline: The video's frames.
        key: As for `plan_frames`.
    """
    return join_plans([plan_frames(policy, timeline, key) for policy in policies], timeline)


def join_plans(plans: Sequence[SamplingPlan], timeline: Timeline) -> JointPlan:
    """Gives the frames of all plans, of which there is at least one."""
    chosen = [dict(zip(plan.indices, plan.groups, strict=True)) for plan in plans]
    indices = sorted(set().union(*chosen))
    return JointPlan(
        tuple(indices),
        tuple(tuple(groups.get(index) for groups in chosen) for index in indices),
        longest_gap_s(np.array(indices), timeline),
    )


def _last(groups: Sequence[int | None]) -> int | None:
    return next((group for group in reversed(groups) if group is not None), None)
