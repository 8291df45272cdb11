"""What a worker asks of the child that decodes one video, and what it gets back."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mover_ray.config import from_mapping
from mover_ray.video.budget import VideoBudget
from mover_ray.video.joint_plan import Groups, JointPlan, join_plans, plan_jointly
from mover_ray.video.probe import VideoInfo
from mover_ray.video.sampling import SamplingPolicy, Timeline, plan_listed


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeRequest:
    """One video's decoding."""

    budget: VideoBudget
    """Limits."""
    policies: tuple[SamplingPolicy, ...]
    """Which frames: all that one of them chooses."""
    key: bytes
    """Secret of the sampling, see `plan_frames`."""
    skip: int = 0
    """Frames, from the first sampled one, that an earlier attempt has delivered already."""
    folder: str | None = None
    """Of an archive of pictures, the folder that is the sequence; null for a video file."""
    indices: tuple[int, ...] | None = None
    """Just these frames, ascending, whatever the policy says; null leaves it to the policy."""

    def plan(self, timeline: Timeline) -> JointPlan:
        """Chooses the frames of the video that has this timeline."""
        if self.indices is not None:
            return join_plans([plan_listed(self.indices, timeline)], timeline)
        return plan_jointly(self.policies, timeline, self.key)

    def to_message(self) -> dict[str, Any]:
        """Gives values that JSON can carry."""
        return {**dataclasses.asdict(self), "key": self.key.hex()}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "DecodeRequest":
        """Reads what `to_message` gave."""
        return cls(
            budget=from_mapping(VideoBudget, message["budget"]),
            policies=tuple(from_mapping(SamplingPolicy, one) for one in message["policies"]),
            key=bytes.fromhex(message["key"]),
            skip=int(message["skip"]),
            folder=message["folder"],
            indices=None if message["indices"] is None else tuple(message["indices"]),
        )


class FrameSink(Protocol):
    """Where the child puts what it finds."""

    def plan(self, spans: Sequence[tuple[int, int]]) -> None:
        """Takes the stretches of the file that will be read from now on, so that they are near.

        Advice, which replaces what was planned before; it may come at any time or never. One
        stretch from 0 to the file's end asks for the whole.

        Args:
            spans: First byte and end of each, in the order of reading.
        """

    def info(self, info: VideoInfo, num_sampled: int, max_gap_s: float) -> None:
        """Takes the video's properties; called once, first."""

    def frame(
        self, index: int, time_s: float, groups: Groups, image: npt.NDArray[np.uint8]
    ) -> None:
        """Takes one frame as displayed, uint8 RGB [H, W, 3], any strides."""
