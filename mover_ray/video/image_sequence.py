"""Decodes the sampled pictures of one folder of an archive. Runs in the child only."""

import re
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, cast

import av
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.storage.picture_archive import DamagedArchiveError, PictureArchive
from mover_ray.video.budget import VideoBudget
from mover_ray.video.colour import RgbConverter
from mover_ray.video.joint_plan import JointPlan
from mover_ray.video.probe import VideoInfo
from mover_ray.video.request import DecodeRequest, FrameSink
from mover_ray.video.sampling import Timeline
from mover_ray.video.source import check_size, explain

#: Pictures a second where nothing says how fast they follow each other: the rate of European
#: television, in the middle of what web video has.
NOMINAL_FPS: Final = 25.0

_PNG: Final = b"\x89PNG\r\n\x1a\n"
# What the first bytes of a picture are, whatever its name says, and FFmpeg's decoder.
_DECODERS: Final = ((_PNG, "png"), (b"\xff\xd8\xff", "mjpeg"))
# PNG stores at most four samples of 16 bits a pixel, and hardly more where packing does not help.
_MOST_BYTES_A_PIXEL: Final = 8
_OTHER_BYTES: Final = 2**20
_NAME_SHOWN: Final = 200


def decode_sequence(
    file: BinaryIO, folder: str, request: DecodeRequest, sink: FrameSink
) -> tuple[str, ...]:
    """Finds the pictures of a folder, chooses some by the policy, and gives them in order.

    The order is the natural one of their names: `2.png` comes before `10.png`. A frame's index is
    its position in it, its time counts at `NOMINAL_FPS`, and every one is a keyframe. Only chosen
    pictures are decoded, and in memory alone. The orientation that a camera notes is not applied.

    Args:
        file: A tar archive, gzipped or not; seekable.
        folder: The folder inside the archive; those below it do not count.
        request: Which frames, and the limits.
        sink: Takes the results.

    Returns:
        Flags: `no_frame_rate` always; `truncated` where the archive breaks off, `decode_errors`
        and `frames_missing`, `size_changed` between decoded frames, `colour_guessed`.

    Raises:
        InputError: The sequence cannot be used.
        MemoryError: The limit on memory was met.
    """
    pictures, truncated = _list_pictures(file, folder, request.budget)
    timeline = _timeline(len(pictures), request.budget)
    plan = request.plan(timeline)
    delivery = _Delivery(timeline, plan, request, sink)
    wanted = [pictures[index] for index in plan.indices]
    for position, data in _read_pictures(file, wanted, request.budget):
        delivery.take(position, data)
    return delivery.flags() + (("truncated",) if truncated else ())


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Gives what sorts names by the numbers in them, and equal ones by their letters."""
    parts = re.split(r"([0-9]+)", name)
    return tuple(int(part) if number % 2 else part for number, part in enumerate(parts)), name


def _list_pictures(file: BinaryIO, folder: str, budget: VideoBudget) -> tuple[list[int], bool]:
    """Gives the pictures' numbers in the archive, in order, and whether that breaks off.

    Of two pictures of one name the later one counts, as it does for whoever unpacks.
    """
    found: dict[str, int] = {}
    truncated = False
    try:
        for picture in PictureArchive(file, budget.max_bytes):
            if picture.folder == folder:
                found[picture.name] = picture.number
                _check_count(len(found), budget)
    except DamagedArchiveError:
        if not found:
            raise
        truncated = True
    if not found:
        text = f"no PNG or JPEG picture in the archive's folder `{folder[:_NAME_SHOWN]}`"
        raise InputError(Status.UNSUPPORTED, text)
    return [found[name] for name in sorted(found, key=natural_key)], truncated


def _check_count(count: int, budget: VideoBudget) -> None:
    if count > budget.max_frames:
        text = f"more pictures than the limit of {budget.max_frames}"
        raise InputError(Status.TOO_LARGE, text)


def _timeline(count: int, budget: VideoBudget) -> Timeline:
    duration_s = count / NOMINAL_FPS
    if duration_s > budget.max_duration_s:
        text = f"{duration_s:.0f} s are over the limit of {budget.max_duration_s:.0f} s"
        raise InputError(Status.TOO_LARGE, text)
    return Timeline(np.arange(count) / NOMINAL_FPS, np.ones(count, dtype=np.bool_), duration_s)


def _read_pictures(
    file: BinaryIO, wanted: Sequence[int], budget: VideoBudget
) -> Iterator[tuple[int, bytes]]:
    """Gives positions in `wanted` and pictures, in ascending order; cut ones are left out.

    One pass over the archive: what is stored before its turn waits in memory.
    """
    positions = {number: position for position, number in enumerate(wanted)}
    waiting: dict[int, bytes] = {}
    turn = 0
    archive = PictureArchive(file, budget.max_bytes)
    try:
        for picture in archive:
            if picture.number not in positions:
                continue
            _check_bytes(picture.size_bytes, budget)
            waiting[positions[picture.number]] = archive.read()
            while turn in waiting:
                yield turn, waiting.pop(turn)
                turn += 1
            if turn == len(wanted):
                return
    except DamagedArchiveError:
        # The listing has met the damage too, and has said so.
        pass
    yield from sorted(waiting.items())


def _check_bytes(size_bytes: int, budget: VideoBudget) -> None:
    most = _MOST_BYTES_A_PIXEL * budget.max_pixels + _OTHER_BYTES
    if size_bytes > most:
        text = f"a picture of {size_bytes} bytes, where its pixels may take {most}"
        raise InputError(Status.TOO_LARGE, text)


class _Delivery:
    """Decodes chosen pictures and gives them to a sink."""

    def __init__(
        self, timeline: Timeline, plan: JointPlan, request: DecodeRequest, sink: FrameSink
    ) -> None:
        self._timeline = timeline
        self._plan = plan
        self._request = request
        self._sink = sink
        self._converter = RgbConverter()
        self._size: tuple[int, int] | None = None
        self._resized = False
        self._delivered = 0
        self._errors = 0
        self._last_error = "the archive breaks off"

    def take(self, position: int, data: bytes) -> None:
        """Decodes the picture at a position of the plan, and gives it if that is possible."""
        try:
            frame, codec = _decode_picture(data, self._request.budget)
        except _PictureError as error:
            self._errors += 1
            self._last_error = str(error)
            return
        self._look(frame, codec)
        if self._delivered >= self._request.skip:
            index = self._plan.indices[position]
            time_s = float(self._timeline.times_s[index])
            image = self._converter.convert(frame)
            self._sink.frame(index, time_s, self._plan.groups[position], image)
        self._delivered += 1

    def flags(self) -> tuple[str, ...]:
        """Gives what is to be said of the sequence.

        Raises:
            InputError: There was no picture to give.
        """
        if not self._delivered:
            text = f"no picture could be decoded: {self._last_error}"
            raise InputError(Status.CORRUPT, text)
        found = {
            "colour_guessed": self._converter.guessed,
            "decode_errors": self._errors > 0,
            "frames_missing": self._delivered < len(self._plan.indices),
            "no_frame_rate": True,
            "size_changed": self._resized,
        }
        return tuple(flag for flag, true in found.items() if true)

    def _look(self, frame: VideoFrame, codec: str) -> None:
        """Checks a picture's size and, if it is the first, describes the sequence by it."""
        check_size(frame.width, frame.height, self._request.budget)
        size = frame.width, frame.height
        if self._size is None:
            info = _describe(frame, codec, self._timeline)
            self._sink.info(info, len(self._plan.indices), self._plan.max_gap_s)
            self._size = size
        elif self._size != size:
            self._resized = True


class _PictureError(Exception):
    """A picture cannot be decoded."""


def _decode_picture(data: bytes, budget: VideoBudget) -> tuple[VideoFrame, str]:
    """Gives a picture and FFmpeg's name of its format.

    Raises:
        _PictureError: It cannot be decoded.
        InputError: It is too large.
        MemoryError: FFmpeg ran out of memory.
    """
    codec = next((name for magic, name in _DECODERS if data.startswith(magic)), None)
    if codec is None:
        raise _PictureError("neither PNG nor JPEG")
    if codec == "png" and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        check_size(width, height, budget)
    # One decoder a picture, so that none depends on those before it.
    context = cast("VideoCodecContext", av.CodecContext.create(codec, "r"))
    # The child may start no threads.
    context.thread_count = 1
    context.options = {"max_pixels": str(budget.max_pixels)}
    try:
        frames = [*context.decode(Packet(data)), *context.decode(None)]
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        raise _PictureError(explain(error)) from error
    if not frames:
        raise _PictureError("it holds no picture")
    return frames[0], codec


def _describe(frame: VideoFrame, codec: str, timeline: Timeline) -> VideoInfo:
    return VideoInfo(
        duration_s=timeline.duration_s,
        fps=NOMINAL_FPS,
        width=frame.width,
        height=frame.height,
        codec=codec,
        container="tar",
        num_frames=len(timeline.times_s),
        rotation=0,
        pixel_format=frame.format.name,
        bit_depth=frame.format.components[0].bits,
    )
