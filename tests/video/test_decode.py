import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.decode import decode_video
from mover_ray.video.request import DecodeRequest
from mover_ray.video.sampling import SamplingPolicy
from tests.video.collected import Collected
from tests.video.media import Image, decode_all, encode, picture, rotate

ALL = SamplingPolicy(policy="uniform", frames=256)


def decode(
    source: Path | bytes,
    policy: SamplingPolicy = ALL,
    budget: VideoBudget | None = None,
    skip: int = 0,
) -> Collected:
    found = Collected()
    data = source if isinstance(source, bytes) else source.read_bytes()
    request = DecodeRequest(budget=budget or VideoBudget(), policies=(policy,), key=b"k", skip=skip)
    found.flags = decode_video(io.BytesIO(data), request, found)
    return found


def pictures(count: int, width: int = 64, height: int = 48) -> list[Image]:
    return [picture(index, width, height) for index in range(count)]


@pytest.fixture
def with_b_frames(tmp_path: Path) -> Path:
    options = {"bf": "3", "b_strategy": "0", "g": "24"}
    return encode(tmp_path / "b.mp4", pictures(60), options=options)


CASES: dict[str, Callable[[Path], Path]] = {
    "b_pyramid.mp4": lambda path: encode(
        path, pictures(50), options={"bf": "4", "x264-params": "b-pyramid=normal:b-adapt=0"}
    ),
    "b_frames.mkv": lambda path: encode(path, pictures(50), options={"bf": "3"}),
    "b_frames.ts": lambda path: encode(path, pictures(50), options={"bf": "3"}),
    "b_frames.flv": lambda path: encode(path, pictures(50), options={"bf": "3"}),
    "b_frames.avi": lambda path: encode(path, pictures(50), codec="mpeg4", options={"bf": "2"}),
    "program_stream.mpg": lambda path: encode(
        path, pictures(50), codec="mpeg2video", options={"bf": "2"}
    ),
    "ten_bits.mp4": lambda path: encode(path, pictures(20), pixel_format="yuv420p10le"),
    "hevc.mp4": lambda path: encode(
        path, pictures(20), codec="libx265", options={"x265-params": "log-level=none"}
    ),
    "vp8.webm": lambda path: encode(path, pictures(30), codec="libvpx"),
    "vp9.webm": lambda path: encode(
        path, pictures(30), codec="libvpx-vp9", options={"lag-in-frames": "16", "auto-alt-ref": "1"}
    ),
    "odd_size.mkv": lambda path: encode(
        path, pictures(10, 63, 47), codec="ffv1", pixel_format="yuv444p"
    ),
    "raw.avi": lambda path: encode(path, pictures(5), codec="rawvideo", pixel_format="bgr24"),
    "gray.mkv": lambda path: encode(path, pictures(5), codec="ffv1", pixel_format="gray"),
    "motion_jpeg.mov": lambda path: encode(
        path, pictures(10), codec="mjpeg", pixel_format="yuvj420p"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_frames_and_indices_are_those_of_a_full_linear_decode(name: str, tmp_path: Path) -> None:
    path = CASES[name](tmp_path / name)
    expected = list(decode_all(path))
    every = decode(path)
    assert every.indices == list(range(len(expected)))
    some = decode(path, SamplingPolicy(policy="uniform", frames=7))
    assert len(some.frames) == min(7, len(expected))
    for index, _, _, image in [*every.frames, *some.frames]:
        np.testing.assert_array_equal(image, expected[index][1])
    assert every.flags == some.flags == ()
    assert every.video.num_frames == len(expected)


def test_times_count_from_the_first_frame_in_even_steps(with_b_frames: Path) -> None:
    found = decode(with_b_frames)
    np.testing.assert_allclose(found.times, np.arange(60) / 25, atol=1e-6)
    assert found.video.fps == pytest.approx(25)
    assert found.video.duration_s == pytest.approx(2.4)
    assert (found.video.codec, found.video.bit_depth) == ("h264", 8)


def test_ten_bits_are_said(tmp_path: Path) -> None:
    found = decode(CASES["ten_bits.mp4"](tmp_path / "ten.mp4"))
    assert (found.video.bit_depth, found.video.pixel_format) == (10, "yuv420p10le")
    assert np.abs(found.frames[0][3].astype(int) - picture(0)).max() < 12


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    ticks = [0, 1, 2, 30, 31, 90, 91, 92, 200, 210]
    path = encode(tmp_path / "v.mkv", pictures(10), times=ticks)
    found = decode(path)
    np.testing.assert_allclose(found.times, np.array(ticks) / 25, atol=2e-3)
    assert found.video.fps == pytest.approx(9 / (210 / 25), rel=0.01)


def test_negative_times_are_counted_from_the_first_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "n.ts", pictures(20), times=range(-10, 10))
    assert decode(path).times == pytest.approx([index / 25 for index in range(20)], abs=1e-4)


@pytest.mark.parametrize(
    ("matrix", "rotation", "turns"),
    [((0, 1, -1, 0), 90, -1), ((-1, 0, 0, -1), 180, 2), ((0, -1, 1, 0), 270, 1)],
)
def test_rotation_is_applied(
    matrix: tuple[int, int, int, int], rotation: int, turns: int, tmp_path: Path
) -> None:
    path = rotate(encode(tmp_path / "r.mp4", pictures(3)), matrix)
    found = decode(path)
    stored = [image for _, image in decode_all(path)]
    assert found.video.rotation == rotation
    for image, plain in zip(found.frames, stored, strict=True):
        np.testing.assert_array_equal(image[3], np.rot90(plain, turns))
    assert (found.video.height, found.video.width) == found.frames[0][3].shape[:2]


@pytest.mark.parametrize("space", ["bt709", "smpte170m", "bt2020nc"])
@pytest.mark.parametrize("value_range", ["tv", "pc"])
def test_colours_go_by_the_matrix_and_range_of_the_stream(
    space: str, value_range: str, tmp_path: Path
) -> None:
    options = {"colorspace": space, "color_range": value_range, "qp": "1"}
    path = encode(tmp_path / "c.mp4", [_flat_yuv(space, value_range)], options=options)
    [(_, _, _, image)] = decode(path).frames
    assert np.abs(image.astype(int) - _RGB).max() <= 3


_RGB = np.array([200, 60, 40])
_LUMA_OF_RED_AND_BLUE = {
    "bt709": (0.2126, 0.0722),
    "smpte170m": (0.299, 0.114),
    "bt2020nc": (0.2627, 0.0593),
}


def _flat_yuv(space: str, value_range: str) -> Image:
    """A 4:2:0 picture of the one colour `_RGB` in the matrix and range of H.264's Annex E."""
    red, green, blue = _RGB / 255
    of_red, of_blue = _LUMA_OF_RED_AND_BLUE[space]
    luma = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    chroma = (blue - luma) / (2 - 2 * of_blue), (red - luma) / (2 - 2 * of_red)
    low, luma_scale, chroma_scale = (16, 219, 224) if value_range == "tv" else (0, 255, 255)
    planes = np.empty((72, 64))
    planes[:48] = low + luma_scale * luma
    planes[48:60], planes[60:] = (128 + chroma_scale * value for value in chroma)
    return np.round(planes).astype(np.uint8)


def test_a_change_of_size_is_kept_and_flagged(tmp_path: Path) -> None:
    small = encode(tmp_path / "1.ts", pictures(10, 64, 48))
    large = encode(tmp_path / "2.ts", pictures(10, 96, 64), times=range(10, 20))
    found = decode(small.read_bytes() + large.read_bytes())
    sizes = [frame[3].shape[:2] for frame in found.frames]
    assert sizes == [(48, 64)] * 10 + [(64, 96)] * 10
    assert "size_changed" in found.flags


def test_decoding_goes_on_where_an_earlier_attempt_stopped(with_b_frames: Path) -> None:
    policy = SamplingPolicy(policy="uniform", frames=10)
    assert (
        decode(with_b_frames, policy, skip=4).indices == decode(with_b_frames, policy).indices[4:]
    )


def test_a_cut_video_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    options = {"movflags": "faststart"}
    path = encode(tmp_path / "v.mp4", [_noise(index) for index in range(50)], options=options)
    data = path.read_bytes()
    whole = list(decode_all(path))
    found = decode(_with_header_first(data, tmp_path)[: len(data) * 2 // 3])
    assert 5 < len(found.frames) < 50
    assert "truncated" in found.flags
    for index, _, _, image in found.frames[:5]:
        np.testing.assert_array_equal(image, whole[index][1])


def _noise(index: int) -> Image:
    return np.random.default_rng(index).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def _with_header_first(data: bytes, folder: Path) -> bytes:
    import av

    source, target = io.BytesIO(data), folder / "fast.mp4"
    with (
        av.open(source, "r") as old,
        av.open(str(target), "w", options={"movflags": "faststart"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target.read_bytes()


def test_bad_packets_are_passed_over_and_flagged(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", pictures(60), options={"g": "10", "bf": "0"})
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start + 1500 : start + 1900] = bytes(400)
    found = decode(bytes(data))
    assert "decode_errors" in found.flags
    assert len(found.frames) > 20
    assert found.indices == sorted(set(found.indices))


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (b"x", Status.UNSUPPORTED, "not a video container that is read: text"),
        (b"v=0\r\nm=video 5004 RTP/AVP 96\r\n", Status.UNSUPPORTED, "a session description"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", Status.UNSUPPORTED, "a playlist"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", Status.CORRUPT, "the mp4 container is damaged"),
        (b"RIFF\xff\0\0\0AVI LIST", Status.CORRUPT, "the avi container is damaged"),
    ],
)
def test_what_is_no_video_is_refused(data: bytes, status: Status, text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        decode(data)
    assert caught.value.status == status


def test_limits_of_the_budget(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", pictures(60))
    for budget, text in (
        (VideoBudget(max_pixels=64 * 48 - 1), "frames of 64x48 pixels are over the limit of 3071"),
        (VideoBudget(max_frames=59), "60 frames are over the limit of 59"),
        (VideoBudget(max_duration_s=2.0), "2 s are over the limit of 2 s"),
    ):
        with pytest.raises(InputError, match=text) as caught:
            decode(path, budget=budget)
        assert caught.value.status == Status.TOO_LARGE
    at_the_limit = VideoBudget(max_pixels=64 * 48, max_frames=60, max_duration_s=2.4)
    assert len(decode(path, budget=at_the_limit).frames) == 60


def test_an_unlisted_codec_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mov", pictures(2), codec="png", pixel_format="rgb24")
    with pytest.raises(InputError, match="the codec is not read: png") as caught:
        decode(path)
    assert caught.value.status == Status.UNSUPPORTED


def test_frames_at_long_distances_are_found(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "v.mkv",
        pictures(200),
        tick_s=Fraction(1, 2),
        options={"g": "20", "sc_threshold": "0"},
    )
    found = decode(path, SamplingPolicy(policy="auto", frames=9, group_every_s=25.0))
    groups = {group for _, _, group, _ in found.frames}
    assert groups == {0, 1, 2, 3}
    starts = [min(i for i, _, g, _ in found.frames if g == group) for group in sorted(groups)]
    assert all(start % 20 == 0 for start in starts)
