"""Neighbouring frames, as many as memory allows and as many as are asked for."""

import os

import numpy as np
import pytest

from mover_ray.errors import InputError
from mover_ray.video.budget import VideoBudget
from mover_ray.video.footage import FootageLimits, read_footage
from mover_ray.video.probe import VideoInfo
from mover_ray.video.sandbox import VideoReader
from tests.video.media import encode, picture


@pytest.fixture(scope="module")
def reader():
    with VideoReader(VideoBudget()) as reader:
        yield reader


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("footage") / "v.mp4"
    options = {"crf": "4", "preset": "ultrafast"}
    encode(path, [picture(index, 66, 50) for index in range(20)], options=options)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def level(image):
    """The index that `picture` has put into the red of its dark corner, times five."""
    return int(image[2:8, 2:8, 0].mean())


def test_the_first_frames_are_read(reader, video):
    footage = read_footage(reader, video, FootageLimits(max_frames=6))
    assert footage.frames.shape == (6, 50, 66, 3)
    assert (footage.fps, footage.info.num_frames) == (25.0, 20)


def test_a_span_is_read_exactly(reader, video):
    every = read_footage(reader, video, FootageLimits()).frames
    assert len(every) == 20
    assert np.all(np.diff([level(image) for image in every]) > 0)
    some = read_footage(reader, video, FootageLimits(max_frames=1), range(7, 12)).frames
    assert np.array_equal(some, every[7:12])


def test_a_span_beyond_the_end_is_an_error(reader, video):
    with pytest.raises(InputError, match="5 of 10 frames") as caught:
        read_footage(reader, video, FootageLimits(), range(15, 25))
    assert caught.value.status == "corrupt"


def test_odd_sides_are_cut(reader, tmp_path):
    path = tmp_path / "odd.mkv"
    encode(path, [picture(0, 65, 49)] * 2, codec="ffv1", pixel_format="bgr0")
    with path.open("rb") as file:
        frames = read_footage(reader, file.fileno(), FootageLimits()).frames
    assert frames.shape == (2, 48, 64, 3)
    assert np.array_equal(frames[0], picture(0, 65, 49)[:48, :64])


@pytest.mark.parametrize(
    ("limits", "frames"),
    [
        ({"max_frames": 7}, 7),
        ({"max_s": 0.5}, 15),
        ({"max_megapixels": 2}, 6),
        ({"max_s": 0.001}, 1),
    ],
)
def test_each_limit_counts(limits, frames):
    info = VideoInfo(
        duration_s=60.0, fps=30.0, width=640, height=480, codec="h264", container="mp4",
        num_frames=1800, rotation=0, pixel_format="yuv420p", bit_depth=8,
    )  # fmt: skip
    assert FootageLimits(**limits).frames_of(info) == frames
