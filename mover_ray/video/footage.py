"""Neighbouring frames of a video, held in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from mover_ray.config import check_at_least
from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.probe import VideoInfo
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import SampledVideo, VideoReader

#: Every frame of a video, whatever its length.
EVERY_FRAME = SamplingPolicy(policy="uniform", frames=2**40, max_frames=2**40)

_NOMINAL_FPS = 25.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FootageLimits:
    """How much of a video is held in memory, counted from its first frame."""

    max_s: float = 12.0
    """Seconds at most."""
    max_frames: int = 300
    """Frames at most."""
    max_megapixels: int = 128
    """Million pixels at most, over all frames: 1 GiB holds three arrays of so many."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "max_s", 0.001)
        check_at_least(self, "max_frames", 1)
        check_at_least(self, "max_megapixels", 1)

    def frames_of(self, info: VideoInfo) -> int:
        """Gives the number of frames to read, at least one."""
        by_time = int(self.max_s * (info.fps or _NOMINAL_FPS))
        by_memory = self.max_megapixels * 1_000_000 // (info.width * info.height)
        return max(1, min(self.max_frames, by_time, by_memory))


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """Neighbouring frames and the video that they come from."""

    frames: npt.NDArray[np.uint8]
    """uint8 RGB [T, H, W, 3] as displayed; H and W are even, as 4:2:0 needs them: an odd
    row at the bottom or column at the right is left out."""
    fps: float
    """Mean frames a second."""
    info: VideoInfo
    decode_ms: float
    """CPU time of the decoder."""


def read_footage(
    reader: VideoReader, descriptor: int, limits: FootageLimits, span: range | None = None
) -> Footage:
    """Reads neighbouring frames of a video.

    Args:
        reader: Decodes in its sandbox.
        descriptor: As for `VideoReader.open`.
        limits: How many frames from the first one on, unless `span` says.
        span: Indices of the frames to read, rising by one.

    Raises:
        InputError: The video cannot be used, ends before `span` does, or its picture
            changes its size.
    """
    with reader.open(descriptor, EVERY_FRAME, b"") as video:
        wanted = range(limits.frames_of(video.info)) if span is None else span
        images = list(_even(video, wanted))
        if len(images) < (1 if span is None else len(span)):
            raise InputError(Status.CORRUPT, f"{len(images)} of {len(wanted)} frames are there")
        return Footage(
            np.stack(images), video.info.fps or _NOMINAL_FPS, video.info, video.decode_ms
        )


def _even(video: SampledVideo, span: range) -> Iterator[npt.NDArray[np.uint8]]:
    first: tuple[int, ...] | None = None
    for frame in islice(video, span.start, span.stop):
        image = frame.image
        first = first or image.shape
        if image.shape != first:
            change = f"{first[1]}x{first[0]} to {image.shape[1]}x{image.shape[0]}"
            raise InputError(
                Status.UNSUPPORTED, f"the picture changes from {change} at frame {frame.index}"
            )
        if min(image.shape[:2]) < 2:
            raise InputError(Status.UNSUPPORTED, f"frames of {first[1]}x{first[0]} pixels")
        yield image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
