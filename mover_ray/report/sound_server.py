"""Decodes the sound of one video. Runs in the sandbox's child only, on untrusted bytes.

Sound leaves as plain samples in pictures of one line, through the memory that pictures of a
video take: the parent never sees a byte that the video's maker chose the meaning of.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final

import av
import av.audio.fifo
import av.audio.resampler
import av.filter.graph
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.container import InputContainer

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.containers import DEMUXERS
from mover_ray.video.probe import VideoInfo
from mover_ray.video.request import DecodeRequest, FrameSink
from mover_ray.video.server import main

RATE_HZ: Final = 48_000
CHANNELS: Final = 2
#: Of one picture; a multiple of three, for pictures have three bytes a pixel.
CHUNK_SAMPLES: Final = RATE_HZ

#: What web video carries; other sound is not read.
_DECODERS: Final = (
    *("aac", "mp3", "mp3float", "opus", "libopus", "vorbis", "ac3", "eac3", "flac", "alac"),
    *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_f32le", "pcm_u8", "amrnb", "wmav2"),
)
_BYTES_A_SAMPLE: Final = 2 * CHANNELS
#: Smaller steps of the clock are rounding, not gaps.
_TOLERANCE_S: Final = 0.05

Samples = npt.NDArray[np.int16]


def decode_sound(file: BinaryIO, request: DecodeRequest, sink: FrameSink) -> tuple[str, ...]:
    """Gives the sound from the first picture on, 16 bits, `RATE_HZ`, `CHANNELS`.

    Args:
        file: Seekable.
        request: Limits; its policy means nothing here.
        sink: Takes pieces of `CHUNK_SAMPLES` as pictures uint8 [1, W, 3], the last one filled
            with silence.

    Raises:
        InputError: There is no sound, or it cannot be decoded.
    """
    container = _open(file, request)
    if not container.streams.audio:
        raise InputError(Status.UNSUPPORTED, "the video has no sound")
    sink.info(_DESCRIPTION, request.policies[0].max_frames, 0.0)
    waiting: list[Samples] = []
    number = 0
    for samples in _from_start(container, _start_s(container), request.budget.max_duration_s):
        waiting.append(samples)
        while sum(map(len, waiting)) >= CHUNK_SAMPLES:
            joined = np.concatenate(waiting)
            _send(sink, number, joined[:CHUNK_SAMPLES])
            waiting, number = [joined[CHUNK_SAMPLES:]], number + 1
    rest = np.concatenate(waiting) if waiting else np.zeros((0, CHANNELS), np.int16)
    if len(rest):
        _send(sink, number, np.pad(rest, ((0, CHUNK_SAMPLES - len(rest)), (0, 0))))
    return ()


def _open(file: BinaryIO, request: DecodeRequest) -> InputContainer:
    limits = {
        "format_whitelist": DEMUXERS,
        "protocol_whitelist": "none",
        "codec_whitelist": ",".join(_DECODERS),
        "max_streams": str(request.budget.max_streams),
    }
    try:
        return av.open(file, "r", container_options=limits, metadata_errors="replace")
    except av.error.InvalidDataError as error:
        raise InputError(Status.CORRUPT, "the container is damaged") from error


_DESCRIPTION = VideoInfo(
    duration_s=0.0,
    fps=None,
    width=CHUNK_SAMPLES * _BYTES_A_SAMPLE // 3,
    height=1,
    codec="pcm_s16le",
    container="sound",
    num_frames=0,
    rotation=0,
    pixel_format="rgb24",
    bit_depth=8,
)


def _start_s(container: InputContainer) -> float:
    """Gives when the first picture is shown, on the container's clock."""
    if not container.streams.video:
        return 0.0
    stream = container.streams.video[0]
    if stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base)


def _from_start(container: InputContainer, start_s: float, most_s: float) -> Iterator[Samples]:
    """Gives samples [N, CHANNELS] without a gap, the first at `start_s`."""
    resampler = av.audio.resampler.AudioResampler("s16", "stereo", RATE_HZ)
    given = 0
    for frame in _decoded(container):
        for piece in resampler.resample(frame):
            samples = np.asarray(piece.to_ndarray(), np.int16).reshape(-1, CHANNELS)
            time_s = given / RATE_HZ if piece.time is None else piece.time - start_s
            samples, silence = _fit(samples, time_s, given)
            if given + silence > most_s * RATE_HZ:
                return
            if silence:
                yield np.zeros((silence, CHANNELS), np.int16)
            yield samples
            given += silence + len(samples)


def _fit(samples: Samples, time_s: float, given: int) -> tuple[Samples, int]:
    """Gives what of the samples is new, and how many silent ones must come before."""
    late = round(time_s * RATE_HZ) - given
    if abs(late) <= _TOLERANCE_S * RATE_HZ:
        return samples, 0
    return (samples, late) if late > 0 else (samples[-late:], 0)


def _decoded(container: InputContainer) -> Iterator[AudioFrame]:
    """Gives sound as far as it can be decoded; a damaged packet costs itself alone."""
    for packet in container.demux(container.streams.audio[0]):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _send(sink: FrameSink, number: int, samples: Samples) -> None:
    raw = np.frombuffer(np.ascontiguousarray(samples, "<i2").tobytes(), np.uint8)
    sink.frame(number, number * CHUNK_SAMPLES / RATE_HZ, (number,), raw.reshape(1, -1, 3))


if __name__ == "__main__":
    main(decode_sound)
