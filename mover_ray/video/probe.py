"""What is known of a video before its pixels are looked at."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """Properties of a video's one picture track."""

    duration_s: float
    """From the start of the first frame to the end of the last one."""
    fps: float | None
    """Mean frames a second; None for a single frame without a stated rate."""
    width: int
    """Of the first frame as displayed, in pixels: rotation applied, the sample aspect ratio
    not, because resampling would destroy the traces that detectors look for."""
    height: int
    """As `width`."""
    codec: str
    """FFmpeg's name of the format, for example `h264`."""
    container: str
    """FFmpeg's name of the demuxer, for example `matroska,webm`."""
    num_frames: int
    """Frames that a full decode is expected to show."""
    rotation: int
    """Degrees clockwise by which stored frames are turned for display: 0, 90, 180 or 270."""
    pixel_format: str
    """FFmpeg's name, for example `yuv420p10le`."""
    bit_depth: int
    """Bits of one sample of the first component."""
