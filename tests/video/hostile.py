"""Files that ask a decoder for more than to decode them."""

import struct
from collections.abc import Callable
from pathlib import Path

from tests.video.media import encode, picture


def session(host: str, port: int, secret: Path) -> str:
    """An SDP text: a decoder that believes it listens for the video on ports of its own."""
    return (
        f"v=0\no=- 0 0 IN IP4 {host}\ns=x\nc=IN IP4 {host}\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )


def hls(host: str, port: int, secret: Path) -> str:
    """An HLS playlist of an address, a file and a cloud machine's metadata."""
    return (
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n"
        f"#EXTINF:10,\nhttp://{host}:{port}/segment.ts\n#EXTINF:10,\nfile://{secret}\n"
        "#EXTINF:10,\nhttp://169.254.169.254/latest/meta-data/\n#EXT-X-ENDLIST\n"
    )


def dash(host: str, port: int, secret: Path) -> str:
    """A DASH manifest of an address."""
    return (
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT10S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1000"><BaseURL>http://{host}:{port}/v.mp4</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>\n"
    )


def concat(host: str, port: int, secret: Path) -> str:
    """A concat script of a file and an address."""
    return f"ffconcat version 1.0\nfile '{secret}'\nfile 'http://{host}:{port}/v.mp4'\n"


def reference(host: str, port: int, secret: Path) -> str:
    """A QuickTime text that names another movie."""
    return f"RTSPtextrtsp://{host}:{port}/movie\n"


LURES: dict[str, Callable[[str, int, Path], str]] = {
    "sdp": session,
    "hls": hls,
    "dash": dash,
    "concat": concat,
    "rtsp": reference,
}


def huge_picture(folder: Path, width: int, height: int) -> Path:
    """An MJPEG video in AVI whose pictures say that they are of another size than they are."""
    path = encode(
        folder / "huge.avi",
        [picture(index) for index in range(3)],
        codec="mjpeg",
        pixel_format="yuvj420p",
    )
    data = bytearray(path.read_bytes())
    start = data.find(b"\xff\xc0")
    while start >= 0:
        struct.pack_into(">HH", data, start + 5, height, width)
        start = data.find(b"\xff\xc0", start + 1)
    path.write_bytes(data)
    return path


def many_frames(folder: Path, count: int) -> Path:
    """An MP4 file of a few hundred bytes whose tables say that it has `count` frames."""
    path = encode(folder / "many.mp4", [picture(index) for index in range(5)], codec="mpeg4")
    data = bytearray(path.read_bytes())
    times, sizes, chunks = (data.index(name) for name in (b"stts", b"stsz", b"stsc"))
    # Behind the name stand version and flags, then, but for sizes, a number of entries.
    struct.pack_into(">III", data, times + 8, 1, count, 512)
    struct.pack_into(">II", data, sizes + 8, 1, count)
    struct.pack_into(">IIII", data, chunks + 8, 1, 1, count, 1)
    path.write_bytes(data)
    return path
