"""Opens a container with nothing allowed that is not needed. Runs in the child only."""

from dataclasses import dataclass
from typing import BinaryIO, cast

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.containers import (
    DECODERS,
    DEMUXERS,
    HEAD_BYTES,
    describe_bytes,
    video_container,
)
from mover_ray.video.mp4_boxes import encrypted_tracks
from mover_ray.video.sample_counts import check_sample_counts

# Fewer and larger reads: each one goes through Python.
_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class VideoSource:
    """An open container and the one stream of it that is looked at."""

    container: InputContainer
    stream: VideoStream


def open_source(file: BinaryIO, budget: VideoBudget) -> VideoSource:
    """Opens a video for demuxing and single-threaded decoding.

    Args:
        file: Seekable; read from the start. Other files and addresses are never opened.
        budget: Limits on streams and on the size of a frame.

    Raises:
        InputError: No known container, no video stream, an encrypted one or one of a codec that
            is not read (`unsupported`); damaged headers (`corrupt`); frames too large.
    """
    # Before FFmpeg reads, because it would not notice that the file's position has moved.
    check_sample_counts(file, budget)
    encrypted = encrypted_tracks(file)
    container = _open_container(file, budget)
    stream = _main_stream(container)
    _check_codec(stream)
    if stream.id in encrypted:
        raise InputError(Status.UNSUPPORTED, "the video is encrypted (common encryption)")
    check_size(stream.codec_context.width, stream.codec_context.height, budget)
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    stream.codec_context.thread_count = 1
    return VideoSource(container, stream)


def check_size(width: int, height: int, budget: VideoBudget) -> None:
    """Raises `InputError` if a frame of this size is over the budget."""
    if width * height > budget.max_pixels:
        raise InputError(
            Status.TOO_LARGE,
            f"frames of {width}x{height} pixels are over the limit of {budget.max_pixels}",
        )


def _open_container(file: BinaryIO, budget: VideoBudget) -> InputContainer:
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    limits = {
        "format_whitelist": DEMUXERS,
        "protocol_whitelist": "none",
        "codec_whitelist": ",".join(sorted(DECODERS)),
        "max_streams": str(budget.max_streams),
    }
    try:
        # While the streams are looked into, no picture is decoded that is too large.
        return av.open(
            file,
            "r",
            options={"max_pixels": str(budget.max_pixels)},
            container_options=limits,
            buffer_size=_READ_BYTES,
            # Titles may be in any encoding, and are not looked at.
            metadata_errors="replace",
        )
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        container = video_container(head)
        if container is None:
            kind = describe_bytes(head)
            raise InputError(
                Status.UNSUPPORTED, f"not a video container that is read: {kind}"
            ) from error
        raise InputError(
            Status.CORRUPT, f"the {container} container is damaged: {explain(error)}"
        ) from error


def _main_stream(container: InputContainer) -> VideoStream:
    """Gives the default video stream, or else the largest; cover art is none."""
    # A picture stored as a stream is one frame that has nothing to do with the video.
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    candidates = [s for s in container.streams.video if not s.disposition & pictures]
    if not candidates:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        raise InputError(
            Status.UNSUPPORTED, f"no video stream: the container holds {kinds or 'nothing'}"
        )
    return max(candidates, key=_preference)


def _preference(stream: VideoStream) -> tuple[bool, int]:
    context = stream.codec_context
    pixels = context.width * context.height if cast("object", context) is not None else 0
    return bool(stream.disposition & Disposition.default), pixels


def _check_codec(stream: VideoStream) -> None:
    context = stream.codec_context
    if cast("object", context) is None:
        raise InputError(Status.UNSUPPORTED, "the codec of the video stream is unknown")
    if context.codec.name not in DECODERS:
        raise InputError(Status.UNSUPPORTED, f"the codec is not read: {context.codec.name}")


def explain(error: av.FFmpegError) -> str:
    """Gives FFmpeg's last message about an error, or else the error's own, on one line."""
    # PyAV's stub nests this triple of level, logger and text in another tuple.
    entry = cast("tuple[int, str, str] | None", error.log)
    text = entry[2] if entry else error.strerror
    return " ".join((text or type(error).__name__).split())[:300]
