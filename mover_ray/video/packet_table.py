"""The packets of a video stream in storage order. Runs in the child only."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from av.packet import Packet
from av.video.stream import VideoStream

from mover_ray.errors import InputError
from mover_ray.status import Status

if TYPE_CHECKING:
    VideoPacket: TypeAlias = Packet[VideoStream]
else:
    # The class is generic in its stub alone.
    VideoPacket = Packet


@dataclass(frozen=True, slots=True, eq=False)
class PacketTable:
    """The packets that hold a frame, in storage order, which is the order of decoding."""

    pts: npt.NDArray[np.int64]
    """[P], when the frame is shown, in ticks, at least one."""
    keyframes: npt.NDArray[np.bool_]
    """[P], True where the container says that decoding can start."""
    shown: npt.NDArray[np.bool_]
    """[P], False where the frame is decoded for its neighbours' sake alone."""
    positions: npt.NDArray[np.int64]
    """[P], first byte in the file; -1 where unknown."""
    sizes: npt.NDArray[np.int64]
    """[P], bytes."""
    seek_ticks: npt.NDArray[np.int64] | None = None
    """[P], times by which the container finds a packet without reading up to it; None where it
    has no such index."""

    def starts_clean(self) -> bool:
        """Tells whether a decoder finds at the start all that it needs for every frame."""
        return bool(self.keyframes[0] and self.pts[0] == self.pts.min())


def check_clear(packet: VideoPacket) -> None:
    """Raises `InputError` if a packet comes with the description of its encryption."""
    if packet.has_sidedata("encryption_info"):
        raise InputError(Status.UNSUPPORTED, "the video is encrypted (common encryption)")
