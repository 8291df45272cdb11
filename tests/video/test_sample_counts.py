import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sample_counts import check_sample_counts
from tests.video.hostile import many_frames
from tests.video.media import encode, picture


def allow(path: Path, frames: int) -> None:
    with path.open("rb") as file:
        check_sample_counts(file, VideoBudget(max_frames=frames))


@pytest.mark.parametrize("name", ["v.mp4", "v.mov"])
def test_as_many_frames_as_the_budget_are_allowed(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, [picture(index) for index in range(7)])
    allow(path, 7)
    with pytest.raises(InputError, match="7 frames are over the limit of 6") as caught:
        allow(path, 6)
    assert caught.value.status == Status.TOO_LARGE


def test_a_table_of_twenty_bytes_is_not_believed(tmp_path: Path) -> None:
    path = many_frames(tmp_path, 10_000_000)
    with pytest.raises(InputError, match="10000000 frames"):
        allow(path, 3_000_000)


def test_sound_is_not_counted(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", [picture(index) for index in range(7)])
    path.write_bytes(path.read_bytes().replace(b"\0\0\0\0vide", b"\0\0\0\0soun"))
    allow(path, 1)


def test_other_containers_say_nothing(tmp_path: Path) -> None:
    allow(encode(tmp_path / "v.mkv", [picture(index) for index in range(7)]), 1)


@given(st.binary(max_size=100), st.integers(0, 1200))
def test_damage_is_left_to_the_demuxer(tail: bytes, cut: int) -> None:
    box = b"\0\0\0\x24moov\0\0\0\x1ctrak\0\0\0\x14mdia\0\0\0\x0chdlr\0\0\0\0"
    check_sample_counts(io.BytesIO(box[:cut] + tail), VideoBudget())
