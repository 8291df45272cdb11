"""Small videos made on the spot."""

import io
import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

Image = npt.NDArray[np.uint8]


class CountingFile(io.RawIOBase):
    """A file in memory that remembers what was read of it."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content
        self.reads: list[tuple[int, int]] = []
        self._position = 0

    @property
    def binary(self) -> BinaryIO:
        return cast("BinaryIO", self)

    @property
    def bytes_read(self) -> int:
        return sum(stop - start for start, stop in self.reads)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self.content)}
        self._position = base[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.content[self._position : self._position + len(buffer)]
        buffer[: len(data)] = data
        self.reads.append((self._position, self._position + len(data)))
        self._position += len(data)
        return len(data)


def picture(index: int, width: int = 64, height: int = 48) -> Image:
    """A smooth picture that tells its index and its four corners."""
    x = np.linspace(0, 1, width)[None, :, None]
    y = np.linspace(0, 1, height)[:, None, None]
    colour = np.array([40 + 5 * (index % 32), 90, 60])
    return np.asarray(colour + 60 * x * np.array([1, 0, 1]) + 60 * y * [0, 1, 0], dtype=np.uint8)


def encode(
    path: Path,
    pictures: Iterable[Image],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    times: Iterable[int] | None = None,
    tick_s: Fraction = Fraction(1, 25),
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a video of RGB pictures, or of 4:2:0 ones, [3 H / 2, W].

    `times` are the pictures' presentation times in ticks.
    """
    frames = [
        av.VideoFrame.from_ndarray(image, format="rgb24" if image.ndim == 3 else "yuv420p")
        for image in pictures
    ]
    with av.open(str(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=int(1 / tick_s)))
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = tick_s
        stream.options = {**(options or {})}
        for frame, pts in zip(frames, times or range(len(frames)), strict=True):
            frame.pts, frame.time_base = pts, tick_s
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode_all(path: Path) -> Iterator[tuple[int | None, Image]]:
    """A plain, full, linear decode: (pts, stored picture as RGB) of each frame."""
    with av.open(str(path)) as container:
        stream = cast("VideoStream", container.streams.best("video"))
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                yield frame.pts, cast("Image", frame.to_ndarray(format="rgb24"))


def remux(
    source: Path,
    target: Path,
    options: dict[str, str] | None = None,
    start: int = 0,
    first: int = 0,
) -> Path:
    """Copies the packets of a video from the `first` one on, all `start` ticks later."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=options or {}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = (packet for packet in old.demux(video=0) if packet.size)
        for packet in list(packets)[first:]:
            packet.stream = stream
            packet.pts, packet.dts = (packet.pts or 0) + start, (packet.dts or 0) + start
            new.mux(packet)
    return target


def rotate(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Writes a, b, c, d into the display matrix of an MP4 file's only track."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (65536 * value for value in matrix)
    # The matrix stands 40 bytes behind the flags of a version 0 header.
    start = data.index(b"tkhd") + 4 + 40
    struct.pack_into(">9i", data, start, a, b, 0, c, d, 0, 0, 0, 2**30)
    path.write_bytes(data)
    return path
