"""Turns packets into frames, all of them or those of a plan. Runs in the child only."""

import mmap
from collections.abc import Iterator
from typing import Final

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.decode_plan import DecodePlan, Span
from mover_ray.video.packet_table import PacketTable, VideoPacket, check_clear
from mover_ray.video.source import VideoSource, explain

# Decoders that can tell from a packet's first bytes that no other frame refers to its frame, and
# then leave it out without a trace in what follows.
_TELLING_UNREFERENCED: Final = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4", "vp8"})


class DerailedError(Exception):
    """A plan cannot be followed, because the packets are not what it was made for."""


class PacketReader:
    """Reads the packets of the video stream that hold something, and counts them."""

    def __init__(self, source: VideoSource) -> None:
        """Takes a source that nothing has been read from yet."""
        self._container = source.container
        self._stream = source.stream
        self._packets = self._demux()
        self._peeked: VideoPacket | None = None
        #: Number of the next packet in storage order.
        self.number = 0

    def peek(self) -> VideoPacket | None:
        """Gives the next packet without passing it, or None at the end.

        Raises:
            av.FFmpegError: The container is damaged here.
        """
        if self._peeked is None:
            self._peeked = next(self._packets, None)
        return self._peeked

    def read(self) -> VideoPacket | None:
        """Gives the next packet, or None at the end.

        Raises:
            av.FFmpegError: As `peek`.
            InputError: The packet is encrypted (`unsupported`).
        """
        packet, self._peeked = self.peek(), None
        if packet is not None:
            check_clear(packet)
            self.number += 1
        return packet

    def rewind(self, table: PacketTable) -> bool:
        """Moves to the first packet after others have been read; tells whether that succeeded."""
        try:
            self._seek(int(table.pts[0]), table)
        except (av.FFmpegError, DerailedError):
            return False
        return self.number == 0

    def go_to(self, number: int, table: PacketTable) -> None:
        """Moves forward to a packet, by the container's index where it has one.

        Raises:
            av.FFmpegError: As `peek`.
            InputError: As `read`.
            DerailedError: The container's index leads elsewhere.
        """
        if table.seek_ticks is not None:
            # This leads to the packet itself, unless another keyframe follows closely.
            self._seek(int(table.pts[number]), table)
            if self.number > number:
                self._seek(int(table.seek_ticks[number]), table)
        while self.number < number and self.read() is not None:
            pass
        if self.number != number:
            raise DerailedError

    def _seek(self, ticks: int, table: PacketTable) -> None:
        self._container.seek(ticks, stream=self._stream)
        self._packets, self._peeked = self._demux(), None
        found = self.peek()
        known = np.flatnonzero(table.positions == (-1 if found is None else found.pos))
        if len(known) != 1:
            raise DerailedError
        self.number = int(known[0])

    def _demux(self) -> Iterator[VideoPacket]:
        return (packet for packet in self._container.demux(self._stream) if packet.size)


class PacketDecoder:
    """Decodes packets and passes over those that cannot be decoded."""

    def __init__(self, stream: VideoStream) -> None:
        """Takes the stream that the packets are of."""
        self._context = stream.codec_context
        self._tells_unreferenced = _tells_unreferenced(self._context)
        self._last_error = "every packet was empty"
        #: Packets that could not be decoded.
        self.errors = 0

    def decode(self, packet: VideoPacket | None, wanted: bool = True) -> list[VideoFrame]:
        """Gives the frames that a packet completes, or with None the last ones.

        Args:
            packet: The next one in storage order.
            wanted: Whether its frame itself is, and not only what may refer to it.

        Raises:
            MemoryError: A packet failed, and hardly any memory was left.
        """
        if self._tells_unreferenced:
            self._context.skip_frame = "DEFAULT" if wanted else "NONREF"
        try:
            return self._context.decode(packet)
        except av.FFmpegError as error:
            self.note(error)
            return []

    def note(self, error: av.FFmpegError) -> None:
        """Counts an error.

        Raises:
            MemoryError: As `decode`.
        """
        # FFmpeg reports a failed allocation as invalid data: tell the two apart by trying.
        pixels = self._context.width * self._context.height
        if isinstance(error, MemoryError) or _memory_is_short(pixels):
            raise MemoryError("decoder") from error
        self.errors += 1
        self._last_error = explain(error)

    def restart(self) -> None:
        """Forgets all that was decoded."""
        self._context.flush_buffers()

    def no_frame_error(self) -> InputError:
        """Gives the error of a stream of which nothing could be decoded."""
        return InputError(Status.CORRUPT, f"no frame could be decoded: {self._last_error}")


def decode_all(reader: PacketReader, decoder: PacketDecoder) -> Iterator[VideoFrame]:
    """Decodes a stream from its start to its end, and gives every frame in display order.

    Raises:
        MemoryError: As `PacketDecoder.decode`.
    """
    packet: VideoPacket | None = None
    while True:
        try:
            packet = reader.read()
        except av.FFmpegError as error:
            decoder.note(error)
            continue
        yield from decoder.decode(packet)
        if packet is None:
            return


class SpanDecoder:
    """Decodes the packets of a plan."""

    def __init__(
        self,
        reader: PacketReader,
        decoder: PacketDecoder,
        table: PacketTable,
        plan: DecodePlan,
    ) -> None:
        """Prepares the decoding.

        Args:
            reader: At the first packet.
            decoder: Of the same stream.
            table: Of the same stream.
            plan: Made of the table.
        """
        self._reader = reader
        self._decoder = decoder
        self._table = table
        self._wanted = frozenset(plan.wanted)

    def decode(self, span: Span) -> Iterator[VideoFrame]:
        """Gives the chosen frames of a span, and others between them, in display order.

        Raises:
            DerailedError: The packets are not those of the table, or decoding cannot start here.
            MemoryError: As `PacketDecoder.decode`.
        """
        if span.start == self._reader.number == 0:
            yield from self._decode(span)
            return
        self._decoder.restart()
        self._go_to(span.start)
        start = int(self._table.pts[span.start])
        # What is shown before the keyframe may refer to frames that were passed over.
        frames = (frame for frame in self._decode(span) if frame.pts is None or frame.pts >= start)
        first = next(frames, None)
        if first is None or first.pts != start or not first.key_frame:
            raise DerailedError
        yield first
        yield from frames

    def _decode(self, span: Span) -> Iterator[VideoFrame]:
        while self._reader.number < span.stop:
            number = self._reader.number
            packet = self._read()
            wanted = number in self._wanted or number == span.start
            yield from self._decoder.decode(packet, wanted)
        yield from self._decoder.decode(None)

    def _go_to(self, number: int) -> None:
        try:
            self._reader.go_to(number, self._table)
        except av.FFmpegError as error:
            self._decoder.note(error)
            raise DerailedError from error

    def _read(self) -> VideoPacket:
        number = self._reader.number
        try:
            packet = self._reader.read()
        except av.FFmpegError as error:
            self._decoder.note(error)
            raise DerailedError from error
        if packet is None or packet.pts != self._table.pts[number]:
            raise DerailedError
        return packet


def _tells_unreferenced(context: VideoCodecContext) -> bool:
    if context.codec.canonical_name != "hevc":
        return context.codec.canonical_name in _TELLING_UNREFERENCED
    # What HEVC marks as unreferenced may serve frames of higher temporal layers. The 22nd byte of
    # the configuration record of MP4 and Matroska tells in its middle bits how many layers
    # there are.
    record = context.extradata or b""
    return len(record) > 22 and record[0] == 1 and record[21] >> 3 & 7 == 1


def _memory_is_short(pixels: int) -> bool:
    """Tells whether too little address space is left for a decoder's next few pictures."""
    # Four pictures of 16-bit 4:2:0 with their motion vectors, and what a small video takes.
    needed = 4 * 4 * pixels + 16 * 2**20
    try:
        mmap.mmap(-1, needed).close()
    except OSError:
        return True
    return False
