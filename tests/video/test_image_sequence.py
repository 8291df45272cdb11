"""Pictures of an archive as the frames of a video."""

import gzip
import io
import struct
import tarfile
import zlib

import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video import image_sequence
from mover_ray.video.budget import VideoBudget
from mover_ray.video.image_sequence import decode_sequence, natural_key
from mover_ray.video.request import DecodeRequest
from mover_ray.video.sampling import SamplingPolicy
from tests.picture_archives import Image, jpeg, noise, png, tar, tar_members
from tests.video.collected import Collected

FOLDER = "7/real/12"
ALL = SamplingPolicy(policy="uniform", frames=256)


def sequence(count: int, folder: str = FOLDER) -> dict[str, bytes]:
    """Pictures whose order in the archive is that of their names' letters."""
    numbers = sorted(range(count), key=str)
    return {f"./{folder}/{number}.png": png(noise(number)) for number in numbers}


def decode(
    data: bytes,
    policy: SamplingPolicy = ALL,
    budget: VideoBudget | None = None,
    folder: str = FOLDER,
    skip: int = 0,
    key: bytes = b"k",
) -> Collected:
    found = Collected()
    request = DecodeRequest(budget=budget or VideoBudget(), policies=(policy,), key=key, skip=skip)
    found.flags = decode_sequence(io.BytesIO(data), folder, request, found)
    return found


def refusal(
    data: bytes,
    budget: VideoBudget | None = None,
    folder: str = FOLDER,
    policy: SamplingPolicy = ALL,
) -> InputError:
    with pytest.raises(InputError) as caught:
        decode(data, policy, budget, folder)
    return caught.value


def check_frames(found: Collected, *expected: int) -> None:
    assert found.indices == list(expected)
    for index, time_s, _, image in found.frames:
        np.testing.assert_array_equal(image, noise(index))
        assert time_s == pytest.approx(index / 25)


@pytest.mark.parametrize("gzipped", [True, False])
def test_frames_are_the_pictures_bit_for_bit_in_natural_order(gzipped: bool) -> None:
    found = decode(tar(sequence(12), gzipped=gzipped))
    check_frames(found, *range(12))
    assert found.flags == ("no_frame_rate",)
    video = found.video
    assert (video.width, video.height, video.num_frames) == (32, 24, 12)
    assert (video.fps, video.duration_s) == (25.0, 12 / 25)
    assert (video.codec, video.container, video.pixel_format) == ("png", "tar", "rgb24")


def test_every_policy_applies_and_every_picture_is_a_keyframe() -> None:
    data = tar(sequence(50))
    uniform = decode(data, SamplingPolicy(policy="uniform", frames=5))
    check_frames(uniform, 5, 15, 25, 35, 45)
    clips = decode(data, SamplingPolicy(policy="clips", clips=2, clip_frames=3, clip_s=0.5))
    assert [frame[2] for frame in clips.frames] == [0, 0, 0, 1, 1, 1]
    check_frames(clips, *clips.indices)
    policy = SamplingPolicy(policy="keyframes", frames=6, group_frames=3, group_every_s=1.0)
    starts = set()
    for key in (b"one", b"two", b"three", b"four"):
        groups = decode(data, policy, key=key)
        assert [frame[2] for frame in groups.frames] == [0, 0, 0, 1, 1, 1]
        check_frames(groups, *groups.indices)
        starts.add(groups.indices[0])
    assert len(starts) > 2


def test_only_chosen_pictures_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []
    real = image_sequence._decode_picture

    def counted(data: bytes, budget: VideoBudget) -> tuple[VideoFrame, str]:
        decoded.append(data)
        return real(data, budget)

    monkeypatch.setattr(image_sequence, "_decode_picture", counted)
    decode(tar(sequence(20)), SamplingPolicy(policy="uniform", frames=2))
    assert decoded == [png(noise(5)), png(noise(15))]


def test_other_folders_do_not_count() -> None:
    others = {
        f"{FOLDER}3/1.png": b"",
        f"{FOLDER}/below/1.png": b"",
        "7/real/1.png": b"",
        f"{FOLDER}/notes.txt": b"",
    }
    check_frames(decode(tar({**others, **sequence(3)})), 0, 1, 2)


def test_the_top_of_an_archive_is_a_folder_too() -> None:
    check_frames(decode(tar({"0.png": png(noise(0)), "a/0.png": b""}), folder=""), 0)


def test_what_an_earlier_attempt_delivered_is_left_out() -> None:
    assert decode(tar(sequence(5)), skip=3).indices == [3, 4]


def test_of_two_pictures_of_one_name_the_later_counts() -> None:
    first = tar_members({f"{FOLDER}/0.png": png(noise(9))})
    check_frames(decode(first + tar(sequence(1), gzipped=False)), 0)


def test_a_jpeg_is_decoded_with_its_full_range() -> None:
    smooth = np.empty((24, 32, 3), dtype=np.uint8)
    smooth[:] = np.linspace(0, 255, 32, dtype=np.uint8)[None, :, None]
    found = decode(tar({f"{FOLDER}/1.JPEG": jpeg(smooth)}))
    assert found.video.codec == "mjpeg"
    assert np.abs(found.frames[0][3].astype(int) - smooth).max() <= 4


def test_pictures_of_two_sizes_are_said() -> None:
    files = {f"{FOLDER}/0.png": png(noise(0)), f"{FOLDER}/1.png": png(noise(1, 30, 20))}
    found = decode(tar(files))
    assert found.flags == ("no_frame_rate", "size_changed")
    assert found.frames[1][3].shape == (30, 20, 3)


def test_broken_pictures_are_left_out_and_said() -> None:
    files = sequence(6)
    files[f"./{FOLDER}/0.png"] = b""
    files[f"./{FOLDER}/2.png"] = b"GIF89a"
    files[f"./{FOLDER}/4.png"] = png(noise(4))[:90]
    found = decode(tar(files))
    check_frames(found, 1, 3, 5)
    assert found.flags == ("decode_errors", "frames_missing", "no_frame_rate")
    assert found.num_sampled == 6


def test_a_sequence_of_broken_pictures_is_corrupt() -> None:
    error = refusal(tar({f"{FOLDER}/0.png": b"GIF89a"}))
    assert error.status is Status.CORRUPT
    assert "neither PNG nor JPEG" in str(error)


@pytest.mark.parametrize("gzipped", [True, False])
def test_a_cut_archive_gives_what_is_there(gzipped: bool) -> None:
    files = {f"{FOLDER}/{number}.png": png(noise(number)) for number in range(10)}
    data = tar(files, gzipped=gzipped)
    found = decode(data[: len(data) // 2])
    check_frames(found, *range(len(found.frames)))
    assert 2 < len(found.frames) < 8
    assert {"truncated", "no_frame_rate"} <= set(found.flags)


def test_a_missing_folder_is_said() -> None:
    error = refusal(tar(sequence(2)), folder="7/fake/12")
    assert error.status is Status.UNSUPPORTED
    assert "7/fake/12" in str(error)
    assert refusal(b"no archive").status is Status.CORRUPT


def test_links_are_not_followed() -> None:
    link = tarfile.TarInfo(f"{FOLDER}/0.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    check_frames(decode(tar({f"{FOLDER}/00.png": png(noise(0))}, others=[link])), 0)


def test_too_many_pictures_and_too_long_a_sequence() -> None:
    data = tar(sequence(6))
    assert refusal(data, VideoBudget(max_frames=5)).status is Status.TOO_LARGE
    assert refusal(data, VideoBudget(max_duration_s=0.2)).status is Status.TOO_LARGE
    assert len(decode(data, budget=VideoBudget(max_frames=6)).frames) == 6


def test_a_gzip_bomb_ends_by_the_budget() -> None:
    bomb = tar({**sequence(1), f"{FOLDER}/1.png": bytes(1 << 24)})
    assert refusal(bomb, VideoBudget(max_bytes=1 << 22)).status is Status.TOO_LARGE
    # Within that budget it is a picture of more bytes than its pixels could take.
    assert refusal(bomb, VideoBudget(max_pixels=1000)).status is Status.TOO_LARGE


def huge_png(width: int, height: int) -> bytes:
    """Gives a small file that announces many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    parts = (b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_a_picture_of_too_many_pixels_is_too_large() -> None:
    data = tar({f"{FOLDER}/0.png": huge_png(60_000, 60_000)})
    assert refusal(data).status is Status.TOO_LARGE
    image: Image = noise(0, 48, 64)
    large = tar({f"{FOLDER}/0.png": png(image)})
    assert refusal(large, VideoBudget(max_pixels=48 * 64 - 1)).status is Status.TOO_LARGE
    assert len(decode(large, budget=VideoBudget(max_pixels=48 * 64)).frames) == 1


def test_natural_order() -> None:
    names = ["10.png", "9.png", "frame2.png", "frame010.png", "a.png", "1.png", "01.png"]
    ordered = ["01.png", "1.png", "9.png", "10.png", "a.png", "frame2.png", "frame010.png"]
    assert sorted(names, key=natural_key) == ordered


@given(st.lists(st.text("ab019٣", max_size=6), unique=True))
def test_natural_order_is_total(names: list[str]) -> None:
    keys = sorted(map(natural_key, names))
    assert len(set(keys)) == len(names)


@given(st.lists(st.integers(0, 10**9), unique=True, min_size=1))
def test_natural_order_counts(numbers: list[int]) -> None:
    names = [f"{number}.png" for number in numbers]
    assert sorted(names, key=natural_key) == [f"{number}.png" for number in sorted(numbers)]


def test_a_damaged_stream_behind_the_wanted_pictures_is_said() -> None:
    found = decode(gzip.compress(tar_members(sequence(3)) + b"\xff" * 1024))
    check_frames(found, 0, 1, 2)
    assert found.flags == ("no_frame_rate", "truncated")
