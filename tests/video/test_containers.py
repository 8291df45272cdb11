import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.video.containers import describe_bytes, video_container
from mover_ray.video.mp4_boxes import encrypted_tracks


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def large_box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content


def track(number: int, entry: bytes, version: int = 0) -> bytes:
    dates = bytes(16 if version else 8)
    header = bytes([version, 0, 0, 3]) + dates + struct.pack(">I", number) + bytes(60)
    descriptions = box(b"stsd", struct.pack(">II", 0, 1) + box(entry, bytes(70)))
    media = box(b"mdia", box(b"minf", box(b"stbl", descriptions)))
    return box(b"trak", box(b"tkhd", header) + media)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (box(b"ftyp", b"isom"), "mp4"),
        (b"\x1aE\xdf\xa3" + bytes(40), "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"FLV\x01", "flv"),
        (b"\x00\x00\x01\xba" + bytes(20), "mpeg"),
        (b"G" + bytes(187) + b"G", "mpegts"),
        (b"", None),
        (b"G", None),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
    ],
)
def test_containers_are_told_by_their_first_bytes(head: bytes, name: str | None) -> None:
    assert video_container(head) == name


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", "a playlist"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "a session description"),
        (b"dear diary", "text"),
        (b"\x89PNG\r\n", "a PNG picture"),
        (b"\x00\x01\x02", "unknown data"),
    ],
)
def test_other_files_are_named(head: bytes, kind: str) -> None:
    assert describe_bytes(head) == kind


def test_encrypted_tracks_are_found_among_others() -> None:
    tracks = track(1, b"avc1") + track(2, b"encv") + track(7, b"encv", version=1)
    plain = box(b"ftyp", b"isom") + large_box(b"mdat", bytes(99))
    assert encrypted_tracks(io.BytesIO(plain + box(b"moov", tracks))) == {2, 7}
    assert encrypted_tracks(io.BytesIO(plain + box(b"moov", track(1, b"enca")))) == frozenset()


@given(st.binary(max_size=400), st.integers(0, 400))
def test_damaged_boxes_end_the_search(noise: bytes, place: int) -> None:
    data = bytearray(box(b"ftyp", b"isom") + box(b"moov", track(1, b"encv")))
    data[place : place + len(noise)] = noise
    assert len(encrypted_tracks(io.BytesIO(bytes(data)))) <= 1
