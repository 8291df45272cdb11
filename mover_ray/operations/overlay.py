"""`overlay`: a video with what the model found drawn over it, for eyes and for evidence."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mover_ray.errors import ConfigError, InputError, LocationError
from mover_ray.pipelines.results import Row, open_results
from mover_ray.report.drawing import Overlay
from mover_ray.report.sound import read_sound, with_sound
from mover_ray.stages.fetch import reachable
from mover_ray.status import Status
from mover_ray.video.attempt import VideoBytes
from mover_ray.video.budget import VideoBudget
from mover_ray.video.encode import EncoderConfig, encode_video, frame_rate
from mover_ray.video.footage import EVERY_FRAME
from mover_ray.video.sandbox import Frame, VideoReader

_COLUMNS: Final = (
    *("video_id", "uri", "version_id", "etag", "size_bytes", "sha256", "status", "error"),
    *("duration_s", "fps", "score", "faces", "segments", "masks"),
)
_NOMINAL_FPS: Final = 25.0


@dataclass(frozen=True, kw_only=True, slots=True)
class OverlayOptions:
    """What `overlay` was asked to do."""

    video: str
    """Id, uri or file name of a scored video."""
    results: str
    """Destination of `score`."""
    out: Path
    """MP4 file to write."""
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(preset="veryfast"))
    """Quality."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` if the file is there already."""
        if self.out.exists():
            raise ConfigError(
                f"the destination exists: `{self.out}`", hint="name a new one with --out"
            )


def write_overlay(options: OverlayOptions) -> Row:
    """Writes the video with boxes, scores, heat and a timeline; gives its row of results.

    The picture is decoded in the sandbox and encoded anew at a constant rate; the sound, if
    there is any, is decoded there, too, and keeps its time.

    Raises:
        ConfigError: The video has no score, or cannot be read any more.
        LocationError: There is no such video, or `out` cannot be written.
    """
    row = open_results(options.results).row(options.video, _COLUMNS)
    if row["status"] != Status.OK:
        raise ConfigError(
            f"there is nothing to draw, the video has no score ({row['status']}): `{row['uri']}`",
            hint=row["error"],
        )
    budget = VideoBudget()
    try:
        with reachable({"mtime_ns": None, **row}, budget.max_bytes) as video:
            content = _encode(row, video.bytes, budget, options.encoder)
    except InputError as error:
        raise ConfigError(
            f"the video cannot be read any more ({error.status}): `{row['uri']}`", hint=str(error)
        ) from error
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_bytes(content)
    except OSError as error:
        raise LocationError(f"cannot be written: `{options.out}`: {error.strerror}") from error
    return row


def _encode(row: Row, video: VideoBytes, budget: VideoBudget, encoder: EncoderConfig) -> bytes:
    overlay = Overlay(row)
    fps = row["fps"] or _NOMINAL_FPS
    with VideoReader(budget) as reader, reader.open(video, EVERY_FRAME, b"") as frames:
        steady = _steadily(_of_one_size(frames), fps)
        drawn = (overlay.draw(frame.image, time_s) for frame, time_s in steady)
        pictures = encode_video(drawn, frame_rate(fps), encoder)
    return with_sound(pictures, read_sound(video, budget))


def _steadily(frames: Iterator[Frame], fps: float) -> Iterator[tuple[Frame, float]]:
    """Gives a frame for each tick of a constant rate: the one that is shown then."""
    shown: Frame | None = None
    tick = 0
    for frame in frames:
        while shown is not None and tick / fps < frame.time_s - 0.5 / fps:
            yield shown, tick / fps
            tick += 1
        shown = frame
    if shown is not None:
        yield shown, tick / fps


def _of_one_size(frames: Iterable[Frame]) -> Iterator[Frame]:
    first: tuple[int, ...] | None = None
    for frame in frames:
        first = first or frame.image.shape
        if frame.image.shape != first:
            raise InputError(
                Status.UNSUPPORTED, f"the picture changes its size at frame {frame.index}"
            )
        yield frame
