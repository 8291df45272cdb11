"""AVI stores no times: which of its videos are decoded twice."""

from pathlib import Path

import av
import pytest

from mover_ray.video.budget import VideoBudget
from mover_ray.video.display_order import DisplayOrder
from mover_ray.video.packet_scan import scan_packets
from mover_ray.video.source import VideoSource, open_source
from tests.video.media import CountingFile, encode, picture

PICTURE = b"\x00\x00\x01\xb6"
FORWARD, BIDIRECTIONAL = b"\x40", b"\x80"


def avi(folder: Path, codec: str, pixel_format: str = "yuv420p", **options: str) -> VideoSource:
    frames = [picture(index) for index in range(12)]
    path = encode(folder / "v.avi", frames, codec=codec, pixel_format=pixel_format, options=options)
    return open_source(CountingFile(path.read_bytes()).binary, VideoBudget())


@pytest.mark.parametrize(
    ("codec", "pixel_format", "b_frames", "told"),
    [
        ("mpeg4", "yuv420p", "0", True),
        ("mpeg4", "yuv420p", "2", False),
        ("libx264", "yuv420p", "0", False),
        ("msmpeg4", "yuv420p", "0", True),
        ("mjpeg", "yuvj420p", "0", True),
        ("ffv1", "yuv420p", "0", True),
    ],
)
def test_the_order_is_known_where_no_frame_can_refer_to_a_later_one(
    codec: str, pixel_format: str, b_frames: str, told: bool, tmp_path: Path
) -> None:
    scan = scan_packets(avi(tmp_path, codec, pixel_format, bf=b_frames), VideoBudget())
    assert (scan.packets, scan.frames) == (12, 12)
    assert (scan.table is not None) == told


@pytest.mark.parametrize(
    ("packets", "kept"),
    [
        ([PICTURE + FORWARD * 30, PICTURE + b"\x00" * 30], True),
        ([b"\x00\x00\x01\xb0\x01" + PICTURE + FORWARD * 30], True),
        ([PICTURE + BIDIRECTIONAL * 30], False),
        ([PICTURE + FORWARD * 30 + PICTURE + BIDIRECTIONAL * 30], False),
        ([PICTURE + FORWARD * 30, PICTURE + FORWARD * 3], False),
        ([FORWARD * 30], False),
        ([PICTURE + BIDIRECTIONAL * 30, PICTURE + FORWARD * 30], False),
    ],
)
def test_every_mpeg4_packet_must_be_one_picture_that_looks_back(
    packets: list[bytes], kept: bool, tmp_path: Path
) -> None:
    order = DisplayOrder(avi(tmp_path, "mpeg4"))
    for data in packets:
        order.watch(av.Packet(data))
    assert order.kept == kept
