"""What is decoded by a plan equals a full linear decode, frame for frame."""

from collections.abc import Callable, Iterator
from functools import cache
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from mover_ray.errors import InputError
from mover_ray.video.budget import VideoBudget
from mover_ray.video.decode import decode_video
from mover_ray.video.packet_table import VideoPacket
from mover_ray.video.request import DecodeRequest
from mover_ray.video.sampling import SamplingPolicy
from tests.video.collected import Collected
from tests.video.media import CountingFile, Image, decode_all, encode, remux

POLICIES = (
    SamplingPolicy(policy="uniform", frames=32),
    SamplingPolicy(policy="uniform", frames=5),
    SamplingPolicy(policy="keyframes", frames=6, group_every_s=1.0),
    SamplingPolicy(policy="clips", clips=3, clip_frames=4, clip_s=0.5),
)
_GOP = {"g": "12", "sc_threshold": "0"}
_OPEN = "keyint=12:min-keyint=12:open-gop=1:bframes=4:scenecut=0"


def scene(frames: int, width: int = 96, height: int = 64) -> Iterator[Image]:
    """A texture that moves, so that frames refer to each other's parts."""
    noise = np.random.default_rng(0).integers(0, 255, (height + 40, width + 80, 3))
    texture = np.asarray(noise.repeat(4, axis=0).repeat(4, axis=1), dtype=np.uint8)
    for frame in range(frames):
        x, y = round(60 + 50 * np.sin(frame / 9)), round(60 + 50 * np.cos(frame / 13))
        yield texture[y : y + height, x : x + width]


def clip(path: Path, codec: str = "libx264", **options: str) -> Path:
    pixel_format = options.pop("pixel_format", "yuv420p")
    return encode(path, scene(72), codec=codec, pixel_format=pixel_format, options=options)


def hevc(path: Path, parameters: str) -> Path:
    return clip(path, "libx265", **{"x265-params": f"log-level=none:{parameters}"})


CASES: dict[str, Callable[[Path], Path]] = {
    "closed.mp4": lambda path: clip(path, bf="3", **_GOP),
    "open.mp4": lambda path: clip(path, **{"x264-params": f"{_OPEN}:b-pyramid=normal"}),
    "open.mkv": lambda path: clip(path, **{"x264-params": f"{_OPEN}:b-pyramid=normal"}),
    "open.ts": lambda path: clip(path, **{"x264-params": f"{_OPEN}:b-pyramid=normal"}),
    "fields.mp4": lambda path: clip(path, **{"x264-params": "interlaced=1:bframes=2:keyint=12"}),
    "short.mp4": lambda path: clip(path, g="3", bf="2", sc_threshold="0"),
    "single.mp4": lambda path: clip(path, g="1"),
    "b.flv": lambda path: clip(path, bf="3", **_GOP),
    "open.hevc.mp4": lambda path: hevc(path, f"{_OPEN}:b-pyramid=1"),
    "layers.hevc.mp4": lambda path: hevc(path, f"{_OPEN}:b-adapt=0:temporal-layers=3"),
    "open.hevc.ts": lambda path: hevc(path, _OPEN),
    "mpeg4.mp4": lambda path: clip(path, "mpeg4", bf="2", g="12"),
    "mpeg4.avi": lambda path: clip(path, "mpeg4", bf="2", g="12"),
    "forward.avi": lambda path: clip(path, "mpeg4", bf="0", g="12"),
    "h264.avi": lambda path: clip(path, bf="2", **_GOP),
    "msmpeg4.avi": lambda path: clip(path, "msmpeg4", g="12"),
    "mpeg2.mpg": lambda path: clip(path, "mpeg2video", bf="2", g="12"),
    "mpeg2.mp4": lambda path: clip(path, "mpeg2video", bf="2", g="12"),
    "vp8.webm": lambda path: clip(
        path, "libvpx", g="24", **{"auto-alt-ref": "1", "lag-in-frames": "16"}
    ),
    "vp9.mp4": lambda path: clip(
        path, "libvpx-vp9", g="24", **{"auto-alt-ref": "1", "lag-in-frames": "16"}
    ),
    "prores.mov": lambda path: clip(path, "prores", pixel_format="yuv422p10le"),
    "fragments.mp4": lambda path: remux(
        clip(path.with_name("whole.mp4"), bf="3", **_GOP),
        path,
        {"movflags": "frag_keyframe+empty_moov"},
    ),
    "hidden_start.mp4": lambda path: remux(
        clip(path.with_name("whole.mp4"), bf="3", **_GOP), path, start=-14 * 512
    ),
}


def sample(content: bytes, policy: SamplingPolicy) -> tuple[Collected, CountingFile]:
    file, found = CountingFile(content), Collected()
    request = DecodeRequest(budget=VideoBudget(), policies=(policy,), key=b"k")
    found.flags = decode_video(file.binary, request, found)
    return found, file


def digest(image: Image) -> bytes:
    return blake2b(image.tobytes()).digest()


def assert_linear(path: Path, found: Collected, linear: list[tuple[int | None, bytes]]) -> None:
    """Fails unless the frames are those of a linear decode, all that were chosen."""
    assert len(found.frames) == found.num_sampled
    assert found.video.num_frames == len(linear)
    first = linear[0][0]
    for index, time_s, _, image in found.frames:
        pts, expected = linear[index]
        assert digest(image) == expected, (path.name, index)
        if pts is not None and first is not None and path.suffix != ".avi":
            tick_s = _tick_s(path)
            assert time_s == pytest.approx((pts - first) * tick_s, abs=1e-9), (path.name, index)


@cache
def _tick_s(path: Path) -> float:
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        return float((stream and stream.time_base) or 0)


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_stream_gives_the_frames_of_a_linear_decode(
    name: str, tmp_path: Path
) -> None:
    path = CASES[name](tmp_path / name)
    linear = [(pts, digest(image)) for pts, image in decode_all(path)]
    for policy in POLICIES:
        found, _ = sample(path.read_bytes(), policy)
        assert found.flags == ()
        assert_linear(path, found, linear)


def stored(path: Path) -> list[tuple[int | None, bytes]]:
    return [(pts, digest(image)) for pts, image in decode_all(path)]


def packets_of(path: Path) -> list[VideoPacket]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(container.streams.video[0]) if packet.size]


def check_real(path: Path) -> None:
    linear: list[tuple[int | None, bytes]] = []
    for policy in POLICIES:
        try:
            found, _ = sample(path.read_bytes(), policy)
        except InputError:
            return
        # How FFmpeg conceals damage depends on which frames it has decoded.
        if "decode_errors" in found.flags:
            return
        turns = found.video.rotation // 90
        linear = linear or [
            (pts, digest(np.rot90(image, -turns))) for pts, image in decode_all(path)
        ]
        assert "seek_failed" not in found.flags, path.name
        assert_linear(path, found, linear)


def test_every_odd_file_gives_the_frames_of_a_linear_decode(data_dir: Path) -> None:
    for path in sorted((data_dir / "decoder").iterdir()):
        if path.stat().st_size < 100_000:
            check_real(path)


def test_a_face_video_gives_the_frames_of_a_linear_decode(data_dir: Path) -> None:
    check_real(data_dir / "ffpp/original_sequences/youtube/c40/videos/469.mp4")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "kind", ["youtube", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"]
)
def test_every_face_video_gives_the_frames_of_a_linear_decode(kind: str, data_dir: Path) -> None:
    files = sorted((data_dir / "ffpp").glob(f"*/{kind}/c40/videos/*.mp4"))
    assert len(files) == 6
    for path in files:
        check_real(path)


@pytest.mark.slow
def test_every_large_odd_file_gives_the_frames_of_a_linear_decode(data_dir: Path) -> None:
    for path in sorted((data_dir / "decoder").iterdir()):
        if path.stat().st_size >= 100_000:
            check_real(path)


def test_a_few_frames_of_a_long_video_cost_a_few_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (300, 96, 128, 3), dtype=np.uint8)
    path = encode(tmp_path / "v.mp4", list(noise), options={"g": "10", "qp": "20"})
    policy = SamplingPolicy(policy="keyframes", frames=6, group_every_s=100.0)
    found, file = sample(path.read_bytes(), policy)
    planned = sum(stop - start for start, stop in found.extents)
    assert len(file.content) > 3_000_000
    assert planned < 500_000
    assert file.bytes_read <= planned + 2 * 128 * 1024
    assert len(file.reads) <= len(found.extents) + 3
    assert all(one[1] < two[0] for one, two in pairwise(found.extents))


def test_the_whole_is_announced_where_the_header_does_not_tell(tmp_path: Path) -> None:
    content = clip(tmp_path / "v.mkv", **_GOP).read_bytes()
    found, _ = sample(content, POLICIES[1])
    assert list(found.extents) == [(0, len(content))]


def test_a_start_that_misses_what_it_refers_to_is_decoded_linearly(tmp_path: Path) -> None:
    whole = clip(tmp_path / "whole.mp4", **{"x264-params": f"{_OPEN}:b-adapt=0"})
    second = [packet.is_keyframe for packet in packets_of(whole)].index(True, 1)
    path = remux(whole, tmp_path / "tail.mp4", first=second)
    found, _ = sample(path.read_bytes(), POLICIES[1])
    assert list(found.extents) == [(0, path.stat().st_size)]
    linear = stored(path)
    for index, _, _, image in found.frames:
        assert digest(image) == linear[index][1]


@pytest.mark.parametrize("name", ["refresh.mp4", "refresh.ts"])
def test_keyframes_that_need_earlier_frames_are_found_out(name: str, tmp_path: Path) -> None:
    refresh = {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}
    path = clip(tmp_path / name, **refresh)
    found, _ = sample(path.read_bytes(), POLICIES[1])
    assert found.flags == ("seek_failed",)
    assert_linear(path, found, stored(path))


def test_keyframes_that_the_container_makes_up_are_found_out(tmp_path: Path) -> None:
    path = clip(tmp_path / "v.mp4", bf="0", g="60", sc_threshold="0")
    data = bytearray(path.read_bytes())
    at = data.index(b"stss") + 12
    # The second of two keyframes, 61, becomes 31.
    assert data[at : at + 8] == bytes([0, 0, 0, 1, 0, 0, 0, 61]), data[at - 8 : at + 8]
    data[at + 7] = 31
    path.write_bytes(data)
    found, _ = sample(bytes(data), POLICIES[2])
    assert found.flags == ("seek_failed",)
    assert_linear(path, found, stored(path))


def test_a_frame_that_cannot_be_decoded_is_replaced_by_the_next_as_in_a_linear_decode(
    tmp_path: Path,
) -> None:
    path = clip(tmp_path / "v.mp4", bf="0", **_GOP)
    data = bytearray(path.read_bytes())
    for packet in packets_of(path)[30:33]:
        assert packet.pos is not None
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    policy = SamplingPolicy(policy="uniform", frames=6)
    wanted = [6, 18, 30, 42, 54, 66]
    found, _ = sample(bytes(data), policy)
    assert found.flags == ("decode_errors",)
    assert [index for index in found.indices if index in wanted] == [6, 18, 42, 54, 66]
    assert found.indices == sorted(set(found.indices))
    assert found.indices[2] == 33
