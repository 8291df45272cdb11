"""What is encoded comes back: bytes, frames, levels, times."""

import hashlib
import io
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.errors import ConfigError
from mover_ray.video.encode import EncoderConfig, encode_masks, encode_video, frame_rate
from tests.video.media import picture

FPS = Fraction(25)
QUICK = EncoderConfig(preset="ultrafast")


def clip(count, width=64, height=48):
    return [picture(index, width, height) for index in range(count)]


def decoded(data, pixel_format="rgb24"):
    with av.open(io.BytesIO(data), "r") as container:
        return [frame.to_ndarray(format=pixel_format) for frame in container.decode(video=0)]


# An odd number of macroblocks: x264's defaults give other bytes each time.
@pytest.mark.parametrize("size", [(162, 128), (176, 120), (480, 270)])
def test_the_same_frames_give_the_same_bytes(size):
    noise = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    frames = [
        np.kron(small, np.ones((60, 60, 1), np.uint8))[: size[1], : size[0]] for small in noise
    ]
    runs = {hashlib.sha256(encode_video(frames, FPS, EncoderConfig())).digest() for _ in range(5)}
    assert len(runs) == 1


def test_frames_come_back_nearly_and_in_order():
    frames = clip(9)
    back = decoded(encode_video(frames, FPS, EncoderConfig(crf=10)))
    assert len(back) == 9
    for index, image in enumerate(back):
        errors = [np.abs(image.astype(int) - other).mean() for other in frames]
        assert np.argmin(errors) == index
        assert errors[index] < 4


def test_more_crf_is_fewer_bytes():
    frames = clip(12, 128, 128)
    sizes = [len(encode_video(frames, FPS, EncoderConfig(crf=crf))) for crf in (10, 23, 40)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


def test_a_file_says_how_it_is_to_be_shown_and_nothing_of_when_it_was_made():
    with av.open(io.BytesIO(encode_video(clip(3), Fraction(30000, 1001), QUICK)), "r") as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (len(container.streams), stream.frames) == (1, 3)
        assert stream.average_rate == Fraction(30000, 1001)
        assert (context.pix_fmt, context.color_range, context.colorspace) == ("yuv420p", 1, 6)
        assert "creation_time" not in {**container.metadata, **stream.metadata}


def test_keyframes_are_as_often_as_asked():
    data = encode_video(clip(10), FPS, EncoderConfig(preset="ultrafast", keyframe_every=4))
    with av.open(io.BytesIO(data), "r") as container:
        keys = [frame.key_frame for frame in container.decode(video=0)]
    assert keys == [index % 4 == 0 for index in range(10)]


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(8, 40), st.integers(8, 40), st.integers(0, 2**32))
def test_every_level_of_a_mask_comes_back(count, half_width, half_height, seed):
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 256, (count, 2 * half_height, 2 * half_width), dtype=np.uint8)
    data = encode_masks(list(masks), FPS)
    assert np.array_equal(decoded(data, "gray"), masks)
    # As RGB too: the range is marked, or a reader would stretch the levels.
    assert np.array_equal(np.stack(decoded(data))[..., 1], masks)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], "at least one frame"),
        (clip(1, 63), "even"),
        ([*clip(1), *clip(1, 32)], "not a frame of this video"),
        ([np.zeros((48, 64, 3))], "not a frame of this video"),
    ],
)
def test_what_is_no_video_is_refused(frames, reason):
    with pytest.raises(ValueError, match=reason):
        encode_video(frames, FPS, QUICK)


def test_one_frame_is_a_video():
    assert len(decoded(encode_video(clip(1), FPS, QUICK))) == 1


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (25.0, 25),
        (30000 / 1001, Fraction(30000, 1001)),
        (24000 / 1001, Fraction(24000, 1001)),
        (12.5, 12.5),
    ],
)
def test_rates_are_the_fractions_that_they_stand_for(fps, rate):
    assert frame_rate(fps) == rate


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_no_rate_is_refused(fps):
    with pytest.raises(ValueError, match="frame rate"):
        frame_rate(fps)


@pytest.mark.parametrize(
    "wrong", [{"crf": 52}, {"crf": -1}, {"preset": "best"}, {"keyframe_every": 0}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        EncoderConfig(**wrong)
