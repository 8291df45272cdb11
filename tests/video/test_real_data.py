"""Every odd file of the real data, and some of each kind of face video."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import Frame, SampledVideo, VideoReader

_LONGEST_S = 30.0
#: In these files decoding is possible, but the pixels are cipher text.
_ENCRYPTED = {"mp4parse-rust__mp4parse_capi_tests_av1-clearkey-cbcs-video.mp4"}


@pytest.fixture(scope="module")
def reader() -> Iterator[VideoReader]:
    with VideoReader(VideoBudget(wall_s=_LONGEST_S)) as opened:
        yield opened


def sample(reader: VideoReader, path: Path, frames: int = 5) -> tuple[SampledVideo, list[Frame]]:
    policy = SamplingPolicy(policy="uniform", frames=frames)
    with path.open("rb") as file, reader.open(file.fileno(), policy, b"k") as video:
        return video, list(video)


def stored_frames(path: Path) -> Iterator[VideoFrame]:
    """A plain linear decode."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert isinstance(stream, VideoStream)
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            yield from frames


def has_frames(path: Path) -> bool:
    try:
        return next(stored_frames(path), None) is not None
    except (av.FFmpegError, AssertionError):
        return False


def compare(path: Path, frames: list[Frame]) -> None:
    """Fails unless each frame is the one of the same index in a plain linear decode."""
    wanted = {frame.index: frame.image for frame in frames}
    plain = itertools.islice(stored_frames(path), max(wanted) + 1)
    for index, frame in enumerate(plain):
        if index in wanted:
            image = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
            np.testing.assert_array_equal(wanted[index], image, err_msg=f"{path.name} {index}")


def test_every_odd_file_gives_right_frames_or_a_reason(reader: VideoReader, data_dir: Path) -> None:
    for path in sorted((data_dir / "decoder").iterdir()):
        started = time.monotonic()
        outcome = try_to_sample(reader, path)
        assert time.monotonic() - started < _LONGEST_S
        if isinstance(outcome, InputError):
            assert outcome.status in (Status.CORRUPT, Status.UNSUPPORTED), (path.name, outcome)
            assert path.name in _ENCRYPTED or not has_frames(path), (path.name, outcome)
        else:
            video, frames = outcome
            assert len(frames) == video.num_sampled or "frames_missing" in video.flags, path.name
            assert video.attempts == 1, path.name
            # How FFmpeg conceals damage depends on what this process has decoded before.
            if "decode_errors" not in video.flags:
                compare(path, frames)


def try_to_sample(reader: VideoReader, path: Path) -> tuple[SampledVideo, list[Frame]] | InputError:
    try:
        return sample(reader, path)
    except InputError as error:
        return error


@pytest.mark.parametrize("kind", ["ffpp", "talking", "generated"])
def test_face_videos_give_every_sampled_frame(
    kind: str, reader: VideoReader, data_dir: Path
) -> None:
    files = sorted(path for path in (data_dir / kind).rglob("*") if path.is_file())
    for path in files[:: max(1, len(files) // 3)]:
        video, frames = sample(reader, path, frames=3)
        assert len(frames) == 3, path.name
        assert video.flags == (), path.name
        compare(path, frames)


def test_expected_statuses(reader: VideoReader, data_dir: Path) -> None:
    for name, status, text in (
        ("small__mp4-with-audio.mp4", "unsupported", "no video stream: the container holds audio"),
        ("small__WindowsMediaVideo.wmv", "unsupported", "an ASF or WMV stream"),
        ("small__AudioVideoInterleave.avi", "corrupt", "the video stream holds no frames"),
        ("mp4parse-rust__mp4parse_capi_tests_short-cenc.mp4", "unsupported", "encrypted"),
        ("mp4parse-rust__mp4parse_tests_bipbop_cbcs_video_init.mp4", "unsupported", "encrypted"),
        (next(iter(_ENCRYPTED)), "unsupported", "encrypted"),
        ("mp4parse-rust__media_small.mp4", "corrupt", "no frame could be decoded"),
        ("mp4parse-rust__mp4parse_capi_tests_chunk_out_of_range.mp4", "corrupt", "damaged"),
    ):
        with pytest.raises(InputError, match=text) as caught:
            sample(reader, data_dir / "decoder" / name)
        assert caught.value.status == status
