"""Takes decoded frames in display order and gives the chosen ones. Runs in the child only."""

import bisect
from typing import cast

from av.buffer import Buffer
from av.video.frame import VideoFrame

from mover_ray.video.colour import RgbConverter
from mover_ray.video.frame_index import FrameIndex
from mover_ray.video.frame_list import FrameList
from mover_ray.video.joint_plan import Groups, JointPlan
from mover_ray.video.orientation import Orientation
from mover_ray.video.probe import VideoInfo
from mover_ray.video.request import DecodeRequest, FrameSink
from mover_ray.video.source import VideoSource, check_size


class Delivery:
    """Gives the frames of a plan to a sink, in one pass over the video or in several."""

    def __init__(
        self, listed: FrameList, plan: JointPlan, request: DecodeRequest, sink: FrameSink
    ) -> None:
        """Prepares the first pass.

        Args:
            listed: All frames.
            plan: The chosen ones.
            request: What was asked for.
            sink: Takes the results.
        """
        self._index = listed.index
        self._source = listed.source
        self._plan = plan
        #: Whether a frame's index is how many frames came before it in the pass, because
        #: all of them come; else its time tells.
        self._counted = listed.table is None
        self._request = request
        self._sink = sink
        self._converter = RgbConverter()
        self._wanted = [int(self._index.pts[position]) for position in plan.indices]
        self._size: tuple[int, int] | None = None
        self._skip = request.skip
        self._resized = False
        self._delivered = 0
        #: Chosen frames that were given or that another one stands in for.
        self.passed = 0
        self.rewind()

    def rewind(self) -> None:
        """Prepares another pass from the start, for the chosen frames that are left."""
        self._timed = True
        self._latest = -(2**63)
        self._seen = 0

    def take(self, frame: VideoFrame) -> None:
        """Looks at the next frame in display order; gives it if it is, or replaces, a chosen one.

        Raises:
            InputError: The frame is too large.
        """
        ticks = self._ticks(frame)
        self._look(frame)
        reached = bisect.bisect_right(self._wanted, ticks, lo=self.passed)
        if reached > self.passed:
            standing_for = range(self.passed, reached)
            self.passed = reached
            number = self._seen if self._counted else self._index.position(ticks)
            self._give(frame, number, ticks, self._plan.groups_of(standing_for))
        self._seen += 1

    @property
    def complete(self) -> bool:
        """Whether no chosen frame is left."""
        return self.passed == len(self._wanted)

    @property
    def empty(self) -> bool:
        """Whether there was no frame to give."""
        return self._delivered == 0

    def flags(self) -> set[str]:
        """Gives `frames_missing`, `size_changed` and `colour_guessed` where they are true."""
        found = {
            "frames_missing": self._delivered < len(self._wanted),
            "size_changed": self._resized,
            "colour_guessed": self._converter.guessed,
        }
        return {flag for flag, true in found.items() if true}

    def _ticks(self, frame: VideoFrame) -> int:
        """Gives a frame's place on the index's scale: by its time, or by counting.

        Frames come in display order; from the first one without a time, or with one that steps
        back, the container's times are not believed any more.
        """
        pts = frame.pts if self._timed and self._index.timed else None
        self._timed = pts is not None and pts > self._latest
        if pts is None or not self._timed:
            pts = max(self._latest, int(self._index.pts[min(self._seen, len(self._index.pts) - 1)]))
        self._latest = pts
        return pts

    def _look(self, frame: VideoFrame) -> None:
        """Checks a frame's size and, if it is the first, describes the video by it."""
        check_size(frame.width, frame.height, self._request.budget)
        if self._size is None:
            info = _describe(self._source, frame, self._index)
            self._sink.info(info, len(self._plan.indices), self._plan.max_gap_s)
            self._size = frame.width, frame.height
        elif self._size != (frame.width, frame.height):
            self._resized = True

    def _give(self, frame: VideoFrame, number: int, ticks: int, groups: Groups) -> None:
        if self._delivered >= self._skip:
            time_s = float((ticks - int(self._index.pts[0])) * self._index.tick_s)
            image = _orientation(frame).apply(self._converter.convert(frame))
            self._sink.frame(number, time_s, groups, image)
        self._delivered += 1


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
    try:
        matrix = cast("Buffer | None", frame.side_data.get("DISPLAYMATRIX"))
    except ValueError:  # PyAV does not know every kind, such as the EXIF of a Motion JPEG frame
        matrix = None
    return Orientation() if matrix is None else Orientation.from_matrix(bytes(matrix))
