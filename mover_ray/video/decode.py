"""Decodes the sampled frames of one video. Runs in the child only, on untrusted bytes."""

import bisect
import mmap
from collections.abc import Iterator
from typing import BinaryIO, cast

import av
from av.buffer import Buffer
from av.video.frame import VideoFrame

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.colour import RgbConverter
from mover_ray.video.frame_index import (
    Entry,
    FrameIndex,
    build_index,
    count_index,
    index_packets,
    scan_packets,
)
from mover_ray.video.orientation import Orientation
from mover_ray.video.probe import VideoInfo
from mover_ray.video.request import DecodeRequest, FrameSink
from mover_ray.video.sampling import SamplingPlan, plan_frames
from mover_ray.video.source import VideoSource, check_size, explain, open_source


def decode_video(file: BinaryIO, request: DecodeRequest, sink: FrameSink) -> tuple[str, ...]:
    """Finds the frames of a video, chooses some by the policy, and gives them in display order.

    Decoding is linear from the start and ends with the last chosen frame. A frame's index is its
    position in a full linear decode; its time counts from the first frame of the container's
    index. Where a chosen frame cannot be decoded, the next one that can be stands in.

    Args:
        file: Seekable.
        request: Which frames, and the limits.
        sink: Takes the results.

    Returns:
        Flags: `decode_errors`, `truncated`, `frames_missing`, `size_changed`, `colour_guessed`.

    Raises:
        InputError: The video cannot be used.
        MemoryError: The limit on memory was met.
    """
    index, flags = _index(file, request.budget)
    plan = plan_frames(request.policy, index.timeline(), request.key)
    run = _LinearRun(open_source(file, request.budget), request, sink)
    run.deliver(index, plan)
    return tuple(sorted(flags | run.flags))


def _index(file: BinaryIO, budget: VideoBudget) -> tuple[FrameIndex, set[str]]:
    """Lists the frames by their packets, or by decoding them all where packets do not tell."""
    source = open_source(file, budget)
    scan = scan_packets(source, budget)
    if scan.encrypted:
        raise InputError(Status.UNSUPPORTED, "the video is encrypted (common encryption)")
    if not scan.entries:
        raise InputError(Status.CORRUPT, "the video stream holds no frames")
    index = index_packets(scan, source) or _index_by_decoding(file, budget)
    duration_s = index.timeline().duration_s
    if duration_s > budget.max_duration_s:
        raise InputError(
            Status.TOO_LARGE,
            f"{duration_s:.0f} s are over the limit of {budget.max_duration_s:.0f} s",
        )
    cut = scan.damaged or scan.packets < source.stream.frames
    return index, {"truncated"} if cut else set()


def _index_by_decoding(file: BinaryIO, budget: VideoBudget) -> FrameIndex:
    """Lists the frames that a full decode shows; costs a second decode."""
    source = open_source(file, budget)
    decoder = LinearDecoder(source)
    entries: list[Entry] = [(frame.pts, frame.key_frame) for frame in decoder]
    if not entries:
        raise decoder.no_frame_error()
    return build_index(entries, source) or count_index(entries, source)


class LinearDecoder:
    """Decodes a stream from its start and passes over what cannot be decoded."""

    def __init__(self, source: VideoSource) -> None:
        """Takes a source that nothing has been read from yet."""
        self._source = source
        self._last_error = "every packet was empty"
        #: Packets that could not be decoded.
        self.errors = 0

    def __iter__(self) -> Iterator[VideoFrame]:
        """Gives frames in display order.

        Raises:
            MemoryError: A packet failed, and hardly any memory was left.
        """
        packets = iter(self._source.container.demux(self._source.stream))
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.FFmpegError as error:
                self._note(error)
                continue
            yield from frames

    def no_frame_error(self) -> InputError:
        """Gives the error of a stream of which nothing could be decoded."""
        return InputError(Status.CORRUPT, f"no frame could be decoded: {self._last_error}")

    def _note(self, error: av.FFmpegError) -> None:
        context = self._source.stream.codec_context
        # FFmpeg reports a failed allocation as invalid data: tell the two apart by trying.
        if isinstance(error, MemoryError) or _memory_is_short(context.width * context.height):
            raise MemoryError("decoder") from error
        self.errors += 1
        self._last_error = explain(error)


class _LinearRun:
    """One pass over a video that delivers the frames of a plan."""

    def __init__(self, source: VideoSource, request: DecodeRequest, sink: FrameSink) -> None:
        self._source = source
        self._request = request
        self._sink = sink
        self._decoder = LinearDecoder(source)
        self._converter = RgbConverter()
        self._size: tuple[int, int] | None = None
        self._timed = True
        self._latest = -(2**63)
        self._seen = 0
        self._delivered = 0
        self.flags: set[str] = set()

    def deliver(self, index: FrameIndex, plan: SamplingPlan) -> None:
        """Decodes up to the last frame of the plan, converting only the frames of it.

        Raises:
            InputError: No frame could be decoded (`corrupt`), or one is too large.
        """
        wanted = [int(index.pts[position]) for position in plan.indices]
        passed = 0
        for frame in self._decoder:
            ticks = self._ticks(frame, index)
            self._look(frame, index, plan)
            reached = bisect.bisect_right(wanted, ticks, lo=passed)
            if reached > passed:
                passed = reached
                time_s = float((ticks - int(index.pts[0])) * index.tick_s)
                self._give(frame, time_s, plan.groups[reached - 1])
            self._seen += 1
            if passed == len(wanted):
                break
        self._conclude(len(wanted))

    def _ticks(self, frame: VideoFrame, index: FrameIndex) -> int:
        """Gives a frame's place on the index's scale: by its time, or by counting.

        Frames come in display order; from the first one without a time, or with one that steps
        back, the container's times are not believed any more.
        """
        pts = frame.pts if self._timed and index.timed else None
        self._timed = pts is not None and pts > self._latest
        if pts is None or not self._timed:
            pts = max(self._latest, int(index.pts[min(self._seen, len(index.pts) - 1)]))
        self._latest = pts
        return pts

    def _look(self, frame: VideoFrame, index: FrameIndex, plan: SamplingPlan) -> None:
        """Checks a frame's size and, if it is the first, describes the video by it."""
        check_size(frame.width, frame.height, self._request.budget)
        if self._size is None:
            info = _describe(self._source, frame, index)
            self._sink.info(info, len(plan.indices), plan.max_gap_s)
            self._size = frame.width, frame.height
        elif self._size != (frame.width, frame.height):
            self.flags.add("size_changed")

    def _give(self, frame: VideoFrame, time_s: float, group: int) -> None:
        if self._delivered >= self._request.skip:
            image = _orientation(frame).apply(self._converter.convert(frame))
            self._sink.frame(self._seen, time_s, group, image)
        self._delivered += 1

    def _conclude(self, planned: int) -> None:
        if self._delivered == 0:
            raise self._decoder.no_frame_error()
        if self._decoder.errors:
            self.flags.add("decode_errors")
        if self._delivered < planned:
            self.flags.add("frames_missing")
        if self._converter.guessed:
            self.flags.add("colour_guessed")


def _describe(source: VideoSource, frame: VideoFrame, index: FrameIndex) -> VideoInfo:
    orientation = _orientation(frame)
    size = (frame.height, frame.width) if orientation.transposed else (frame.width, frame.height)
    rate = source.stream.average_rate
    return VideoInfo(
        duration_s=index.timeline().duration_s,
        fps=index.fps() or (float(rate) if rate else None),
        width=size[0],
        height=size[1],
        codec=source.stream.codec_context.codec.canonical_name,
        container=source.container.format.name,
        num_frames=len(index.pts),
        rotation=orientation.rotation,
        pixel_format=frame.format.name,
        bit_depth=frame.format.components[0].bits,
    )


def _orientation(frame: VideoFrame) -> Orientation:
    matrix = cast("Buffer | None", frame.side_data.get("DISPLAYMATRIX"))
    return Orientation() if matrix is None else Orientation.from_matrix(bytes(matrix))


def _memory_is_short(pixels: int) -> bool:
    """Tells whether too little address space is left for a decoder's next few pictures."""
    # Four pictures of 16-bit 4:2:0 with their motion vectors, and what a small video takes.
    needed = 4 * 4 * pixels + 16 * 2**20
    try:
        mmap.mmap(-1, needed).close()
    except OSError:
        return True
    return False
