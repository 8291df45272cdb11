"""Pixels of our own making into MP4 files: the only place that encodes video.

The same frames and settings give the same bytes on one machine: one thread, and no
macroblock tree. x264's reads memory that it has not written where the number of
macroblocks is odd: eight runs over frames of 480x270 gave eight different streams, and
one without it.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from mover_ray.config import check_choice, check_range

Image = npt.NDArray[np.uint8]

_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow"),
)
# Film rates are fractions of 1001: 29.97 stands for 30000/1001.
_MOST_DENOMINATOR = 1001


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """How H.264 is written. The defaults are those of x264 and of FaceForensics++ c23."""

    crf: int = 23
    """Constant rate factor: 0 is lossless, 18 looks so, 23 is c23, 40 is c40, 51 is worst."""
    preset: str = "medium"
    """Effort of x264: slower ones make smaller files of the same quality."""
    keyframe_every: int = 250
    """Most frames from one keyframe to the next."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_range(self, "crf", 0, 51)
        check_choice(self, "preset", _PRESETS)
        check_range(self, "keyframe_every", 1, 10_000)

    def options(self) -> dict[str, str]:
        """Gives the options as FFmpeg spells them."""
        return {
            "crf": str(self.crf),
            "preset": self.preset,
            "g": str(self.keyframe_every),
            "x264-params": "mbtree=0",
        }


def frame_rate(fps: float) -> Fraction:
    """Gives the rate that a decoder's `fps` stands for: 29.97 is 30000/1001.

    Raises:
        ValueError: It is not above zero.
    """
    if not 0 < fps < float("inf"):
        raise ValueError(f"not a frame rate: {fps}")
    return max(Fraction(fps).limit_denominator(_MOST_DENOMINATOR), Fraction(1, _MOST_DENOMINATOR))


def encode_video(frames: Iterable[Image], fps: Fraction, config: EncoderConfig) -> bytes:
    """Gives an MP4 file with the frames as H.264, 4:2:0, BT.601 in limited range, no sound.

    Args:
        frames: uint8 RGB [H, W, 3], at least one, all of one size with even sides;
            consumed as a stream.
        fps: Frames a second.
        config: Quality and effort.

    Raises:
        ValueError: There is no frame, or one of another size or with an odd side.
    """
    reformatter = VideoReformatter()

    def convert(image: Image) -> VideoFrame:
        frame = VideoFrame.from_ndarray(image, format="rgb24")
        return reformatter.reformat(
            frame,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

    return _mux(map(convert, _checked(frames, 3)), fps, "yuv420p", config.options())


def encode_masks(masks: Iterable[Image], fps: Fraction) -> bytes:
    """Gives an MP4 file from which every gray level comes back exactly.

    Args:
        masks: uint8 [H, W], at least one, all of one size with even sides.
        fps: Frames a second.

    Raises:
        ValueError: There is no mask, or one of another size or with an odd side.
    """

    def convert(mask: Image) -> VideoFrame:
        frame = VideoFrame.from_ndarray(mask, format="gray")
        # In limited range a reader would stretch the levels.
        frame.color_range = ColorRange.JPEG
        return frame

    options = {"qp": "0", "preset": "veryfast"}
    return _mux(map(convert, _checked(masks, 2)), fps, "gray", options)


def _checked(images: Iterable[Image], dimensions: int) -> Iterator[Image]:
    shape: tuple[int, ...] | None = None
    for image in images:
        shape = shape or image.shape
        if image.dtype != np.uint8 or image.ndim != dimensions or image.shape != shape:
            raise ValueError(f"not a frame of this video: {image.dtype} {image.shape}, not {shape}")
        if image.shape[0] % 2 or image.shape[1] % 2:
            raise ValueError(f"sides must be even: {image.shape}")
        yield np.ascontiguousarray(image)


def _mux(
    frames: Iterator[VideoFrame], fps: Fraction, pixel_format: str, options: dict[str, str]
) -> bytes:
    first = next(frames, None)
    if first is None:
        raise ValueError("a video has at least one frame")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, pixel_format
        stream.options = dict(options)
        context: Any = stream.codec_context
        context.thread_count = 1
        context.time_base = 1 / fps
        context.color_range = first.color_range
        context.colorspace = first.colorspace
        for index, frame in enumerate(chain([first], frames)):
            frame.pts, frame.time_base = index, 1 / fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
