"""Which containers and codecs are read, and what the first bytes of a file tell."""

from typing import Final

#: Demuxers that FFmpeg may use; every other kind of file is refused before it is parsed.
#: Playlists and session descriptions (HLS, DASH, concat, SDP) open further addresses.
DEMUXERS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv"

#: Decoders that FFmpeg may use. Sound and subtitles are never decoded.
DECODERS: Final = frozenset(
    {
        "ffv1",
        "flv",
        "h263",
        "h264",
        "hevc",
        "huffyuv",
        "libdav1d",
        "mjpeg",
        "mpeg1video",
        "mpeg2video",
        "mpeg4",
        "msmpeg4",
        "msmpeg4v1",
        "msmpeg4v2",
        "prores",
        "rawvideo",
        "vp6",
        "vp6f",
        "vp8",
        "vp9",
    }
)

_MP4_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx")
_TS_PACKET_BYTES = 188
_VIDEO_MAGIC = (
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"FLV", "flv"),
)
_OTHER_KINDS = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"%PDF", "a PDF document"),
    (b"ID3", "an MP3 sound"),
    (b"OggS", "an Ogg stream"),
    (b"0&\xb2u\x8ef\xcf\x11", "an ASF or WMV stream"),
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a playlist"),
    (b"v=0", "a session description"),
)

#: How many bytes from the start of a file `video_container` and `describe_bytes` look at.
HEAD_BYTES: Final = 512


def video_container(head: bytes) -> str | None:
    """Names the container that the first bytes of a file announce, or None.

    Args:
        head: At least `HEAD_BYTES` bytes, or the whole file if it is shorter.
    """
    if head[4:8] in _MP4_BOXES:
        return "mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:1] == head[_TS_PACKET_BYTES : _TS_PACKET_BYTES + 1] == b"G":
        return "mpegts"
    return next((name for magic, name in _VIDEO_MAGIC if head.startswith(magic)), None)


def describe_bytes(head: bytes) -> str:
    """Says what a file seems to be that is no known video container."""
    for magic, kind in _OTHER_KINDS:
        if head.startswith(magic):
            return kind
    if head and not any(byte < 9 or 13 < byte < 32 for byte in head):
        return "text"
    return "unknown data"
