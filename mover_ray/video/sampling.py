"""Which frames of a video are looked at: pure index arithmetic."""

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mover_ray.config import check_at_least, check_choice

Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingPolicy:
    """How many frames are taken and from where. Part of a model bundle."""

    policy: str = "auto"
    """`uniform`, `clips`, `keyframes`, or `auto`: `uniform` for a video of up to
    `auto_uniform_s`, else `keyframes`."""
    frames: int = 32
    """Frames in all (`uniform`), or the least number (`keyframes`)."""
    auto_uniform_s: float = 60.0
    """Longest video, in seconds, that `auto` samples uniformly."""
    clips: int = 4
    """Number of clips (`clips`)."""
    clip_frames: int = 10
    """Frames of one clip (`clips`)."""
    clip_s: float = 3.0
    """Length of one clip in seconds (`clips`); a shorter video is one clip."""
    group_frames: int = 3
    """Frames of one group, the first a keyframe (`keyframes`)."""
    group_every_s: float = 10.0
    """A group in every so many seconds (`keyframes`), up to `max_frames`."""
    max_frames: int = 256
    """Budget of sampled frames of one video, whatever its length."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_choice(self, "policy", ("auto", "uniform", "clips", "keyframes"))
        for name in ("frames", "clips", "clip_frames", "group_frames", "max_frames"):
            check_at_least(self, name, 1)
        for name in ("auto_uniform_s", "clip_s", "group_every_s"):
            check_at_least(self, name, 0.001)


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """When each frame of a video is shown, in display order."""

    times_s: npt.NDArray[np.float64]
    """[F], strictly ascending, seconds from the first frame, at least one."""
    keyframes: npt.NDArray[np.bool_]
    """[F], True where decoding can start. The first frame counts as one in any case."""
    duration_s: float
    """End of the last frame in seconds from the start of the first."""


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """The frames to take, in display order."""

    indices: tuple[int, ...]
    """Frame indices, ascending, none twice."""
    groups: tuple[int, ...]
    """Number of each frame's group, from 0, ascending; a group is a run of neighbours
    (`keyframes`), a clip (`clips`) or a single frame (`uniform`)."""
    max_gap_s: float
    """Longest stretch of the video without a sampled frame, both ends included."""


def plan_frames(policy: SamplingPolicy, timeline: Timeline, key: bytes) -> SamplingPlan:
    """Chooses the frames of one video.

    Args:
        policy: How many and from where.
        timeline: The video's frames.
        key: Secret of the operator, mixed with the video's identity: whoever does not know it
            cannot tell which keyframes `keyframes` will choose.

    Returns:
        A plan of at least one frame and at most `policy.max_frames`.
    """
    kind = policy.policy
    if kind == "auto":
        kind = "uniform" if timeline.duration_s <= policy.auto_uniform_s else "keyframes"
    if kind == "uniform":
        indices, groups = _uniform(policy, timeline)
    elif kind == "clips":
        indices, groups = _clips(policy, timeline)
    else:
        indices, groups = _keyframes(policy, timeline, key)
    return SamplingPlan(
        tuple(indices.tolist()), tuple(groups.tolist()), longest_gap_s(indices, timeline)
    )


def plan_listed(indices: Sequence[int], timeline: Timeline) -> SamplingPlan:
    """Takes the frames that are named, as far as the video has them; else its first frame.

    Args:
        indices: Ascending, none twice.
        timeline: The video's frames.
    """
    available = len(timeline.times_s)
    taken = np.array([index for index in indices if index < available] or [0], dtype=np.int64)
    groups = tuple(range(len(taken)))
    return SamplingPlan(tuple(taken.tolist()), groups, longest_gap_s(taken, timeline))


def _uniform(policy: SamplingPolicy, timeline: Timeline) -> tuple[Indices, Indices]:
    """Takes the middle frame of each of N equal parts, or all frames if there are fewer."""
    available = len(timeline.times_s)
    wanted = min(policy.frames, policy.max_frames, available)
    groups = np.arange(wanted)
    return (2 * groups + 1) * available // (2 * wanted), groups


def _clips(policy: SamplingPolicy, timeline: Timeline) -> tuple[Indices, Indices]:
    """Takes T frames at even times from each of K stretches that do not overlap.

    The stretches lie in the middle of K equal parts of the video. As many are taken as fit.
    A frame rate below T / clip_s gives fewer frames, each of them once.
    """
    frames = min(policy.clip_frames, policy.max_frames)
    fitting = int(timeline.duration_s // policy.clip_s)
    clips = max(1, min(policy.clips, fitting, policy.max_frames // frames))
    length_s = min(policy.clip_s, timeline.duration_s)
    part_s = timeline.duration_s / clips
    starts_s = np.arange(clips) * part_s + (part_s - length_s) / 2
    times_s = starts_s[:, None] + (np.arange(frames) + 0.5) * (length_s / frames)
    shown = np.searchsorted(timeline.times_s, times_s.ravel(), side="right") - 1
    indices, first = np.unique(np.maximum(shown, 0), return_index=True)
    return indices, np.unique(first // frames, return_inverse=True)[1]


def _keyframes(policy: SamplingPolicy, timeline: Timeline, key: bytes) -> tuple[Indices, Indices]:
    """Takes small groups of neighbours, each from a keyframe on, spread over the video.

    The video is cut into equal windows, one a group, and the key picks one of the keyframes of
    each. Where keyframes are too rare to give `frames` frames, the groups grow.
    """
    available = len(timeline.times_s)
    most = min(policy.max_frames, available)
    least = min(policy.frames, most)
    per_group = min(policy.group_frames, most)
    wanted = max(
        math.ceil(timeline.duration_s / policy.group_every_s), math.ceil(least / per_group)
    )
    starts = _pick_keyframes(timeline, min(wanted, most // per_group), key)
    if available - starts[0] < least:
        starts[0] = 0
    room = np.diff(starts, append=available)
    lengths = np.minimum(per_group, room)
    if lengths.sum() < least:
        lengths = _fill(room, least)
    groups = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(groups)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return starts[groups] + within, groups


def _pick_keyframes(timeline: Timeline, windows: int, key: bytes) -> Indices:
    """Gives a keyframe of every window that has one, by the key; the first frame if none has."""
    keyframes = np.flatnonzero(timeline.keyframes)
    if len(keyframes) == 0 or keyframes[0] != 0:
        keyframes = np.concatenate([[0], keyframes])
    edges_s = np.arange(windows + 1) * (timeline.duration_s / windows)
    bounds = np.searchsorted(timeline.times_s[keyframes], edges_s)
    # The last edge is the end of the last frame: float rounding must not cut that frame off.
    bounds[-1] = len(keyframes)
    picked = [
        int(keyframes[low + int(_jitter(key, window) * (high - low))])
        for window, (low, high) in enumerate(itertools.pairwise(bounds))
        if high > low
    ]
    return np.array(picked, dtype=np.int64)


def _jitter(key: bytes, window: int) -> float:
    """Gives a number in [0, 1) that only the holder of the key can know."""
    secret = hashlib.blake2b(key).digest()
    digest = hashlib.blake2b(window.to_bytes(8, "big"), key=secret, digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def _fill(room: Indices, total: int) -> Indices:
    """Shares `total` frames among groups as evenly as each one's room allows.

    Args:
        room: [G], most frames of each group; they sum to at least `total`.
        total: Frames in all.
    """
    level = 1
    while np.minimum(level, room).sum() < total:
        level += 1
    lengths = np.minimum(level - 1, room)
    growing = np.flatnonzero(room >= level)[: total - int(lengths.sum())]
    lengths[growing] += 1
    return lengths


def longest_gap_s(indices: Indices, timeline: Timeline) -> float:
    """Gives the longest stretch of a video without one of the frames, both ends included."""
    seen_s = timeline.times_s[indices]
    return float(np.diff(seen_s, prepend=0.0, append=timeline.duration_s).max())
