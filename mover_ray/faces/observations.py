"""What the face stage knows of a video: faces, frame by frame, in tracks."""

from dataclasses import dataclass, field
from typing import Protocol

from mover_ray.faces.base import Floats, Image


class FrameLike(Protocol):
    """A sampled frame, as the decoder gives it."""

    @property
    def index(self) -> int:
        """Number of the frame in the video, from 0."""
        ...

    @property
    def time_s(self) -> float:
        """Seconds from the first frame."""
        ...

    @property
    def group(self) -> int:
        """Frames of one group are neighbours."""
        ...

    @property
    def image(self) -> Image:
        """uint8 RGB [H, W, 3], rotation applied."""
        ...


@dataclass(slots=True)
class FaceObservation:
    """One face in one frame."""

    track_id: int
    """Which face: 0, 1 … by first appearance."""
    frame_index: int
    """Number of the frame in the video."""
    time_s: float
    """Seconds from the first frame."""
    group: int
    """The frame's group."""
    box: Floats
    """[4] xyxy in displayed pixels; may reach outside the frame."""
    score: float
    """Detector score on the common scale, in [0, 1]."""
    affine: Floats
    """[2, 3]: pixels of the frame into the crop."""
    landmarks: Floats
    """[68, 2] in pixels of the crop."""
    part_boxes: dict[str, Floats]
    """[4] xyxy in pixels of the crop, by part of `roi`."""
    quality: float
    """How much a detector can see, in [0, 1]; see `faces.quality`."""
    crop: Image | None
    """uint8 RGB [S, S, 3]; None where the track is not eligible or over `max_crops`."""


@dataclass(slots=True)
class FaceTracks:
    """All faces of the sampled frames of one video."""

    observations: list[FaceObservation] = field(default_factory=list)
    """By track, then by frame."""
    eligible: set[int] = field(default_factory=set)
    """Tracks that are to be scored; each of their observations but those beyond
    `max_crops` has a crop."""
    frames_seen: int = 0
    """Frames that were looked at."""
    frames_with_face: int = 0
    """Frames among them with one observation at least."""
    flags: set[str] = field(default_factory=set)
    """`too_many_faces`: some faces or crops were left out because of the policy's limits."""
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Distinct (width, height) of the frames in displayed pixels, by first appearance."""
