"""Tells whether a video's frames are shown in the order in which they are stored."""

from typing import Final

from av.buffer import Buffer

from mover_ray.video.source import VideoSource

_PICTURE_START: Final = b"\x00\x00\x01\xb6"
_BIDIRECTIONAL: Final = 2
# A picture that only says that nothing has changed is shorter, and decoders show nothing for it.
_LEAST_PICTURE_BYTES: Final = 20


class DisplayOrder:
    """Watches packets of a container that does not say when frames are shown."""

    def __init__(self, source: VideoSource) -> None:
        """Takes the source of the packets."""
        codec = source.stream.codec_context.codec
        self._watched = codec.canonical_name == "mpeg4"
        #: Whether each packet so far is a frame that is shown before those of later packets.
        self.kept = self._watched or not codec.reorder

    def watch(self, packet: Buffer) -> None:
        """Looks at the next packet."""
        if self._watched and self.kept:
            self.kept = _is_one_forward_picture(bytes(packet))


def _is_one_forward_picture(data: bytes) -> bool:
    """Tells whether an MPEG-4 packet holds one picture that refers to none shown after it."""
    start = data.find(_PICTURE_START)
    kind = start + len(_PICTURE_START)
    if start < 0 or len(data) - start < _LEAST_PICTURE_BYTES:
        return False
    return data[kind] >> 6 != _BIDIRECTIONAL and data.find(_PICTURE_START, kind) < 0
