"""What a detector is shown of a video."""

from dataclasses import dataclass

from mover_ray.faces.policy import FacePolicy
from mover_ray.video.sampling import SamplingPolicy


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """Which frames, and which faces in them. Two detectors of equal views see the same crops."""

    faces: FacePolicy
    """How faces get from a frame into the detector."""
    sampling: SamplingPolicy
    """Which frames are looked at."""
