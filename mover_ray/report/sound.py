"""The sound of an untrusted video, and a video of our own making with it."""

import io
import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.attempt import VideoBytes
from mover_ray.video.budget import VideoBudget
from mover_ray.video.footage import EVERY_FRAME
from mover_ray.video.sandbox import VideoReader

SERVER: Final = "mover_ray.report.sound_server"
RATE_HZ: Final = 48_000
CHANNELS: Final = 2

Samples = npt.NDArray[np.int16]


def read_sound(video: VideoBytes, budget: VideoBudget) -> Iterator[Samples]:
    """Gives a video's sound from its first picture on, a second at a time: int16 [N, CHANNELS].

    It is decoded in the sandbox; nothing comes where there is no sound, or none that is read.

    Args:
        video: As for `VideoReader.open`.
        budget: Limits.
    """
    with VideoReader(budget, server_module=SERVER) as reader:
        try:
            sound = reader.open(video, EVERY_FRAME, b"")
        except InputError as error:
            if error.status is not Status.UNSUPPORTED:
                raise
            return
        with sound:
            for piece in sound:
                yield np.frombuffer(piece.image.tobytes(), "<i2").reshape(-1, CHANNELS)


def with_sound(video: bytes, sound: Iterator[Samples]) -> bytes:
    """Gives an MP4 file with the pictures of one and sound beside them, as AAC.

    Args:
        video: MP4 with H.264, of our own making.
        sound: int16 [N, CHANNELS] at `RATE_HZ`; what is longer than the pictures is cut.
            Without any sound the video comes back as it was.
    """
    first = next(sound, None)
    if first is None:
        return video
    out = io.BytesIO()
    with av.open(io.BytesIO(video), "r") as source, av.open(out, "w", format="mp4") as target:
        pictures = source.streams.video[0]
        copied = target.add_stream_from_template(pictures)
        encoder = target.add_stream("aac", rate=RATE_HZ)
        encoder.layout = "stereo"
        length = Fraction(pictures.duration or 0) * (pictures.time_base or Fraction(0))
        _copy(source, pictures, target, copied)
        _encode(_cut(first, sound, int(length * RATE_HZ)), encoder, target)
    return out.getvalue()


def _copy(
    source: InputContainer, pictures: VideoStream, target: OutputContainer, copied: VideoStream
) -> None:
    for packet in source.demux(pictures):
        if packet.dts is not None:
            packet.stream = copied
            target.mux(packet)


def _cut(first: Samples, rest: Iterator[Samples], most: int) -> Iterator[Samples]:
    left = most
    for samples in itertools.chain([first], rest):
        if left > 0:
            yield samples[:left]
        left -= len(samples)


def _encode(sound: Iterator[Samples], encoder: AudioStream, target: OutputContainer) -> None:
    given = 0
    for samples in sound:
        flat = np.ascontiguousarray(samples.reshape(1, -1))
        frame = AudioFrame.from_ndarray(flat, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, given, Fraction(1, RATE_HZ)
        target.mux(encoder.encode(frame))
        given += len(samples)
    target.mux(encoder.encode(None))
