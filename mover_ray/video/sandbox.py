"""Sampled frames of untrusted videos, decoded in a process that may crash.

Example:
    with VideoReader(budget) as reader, reader.open(descriptor, policy, key) as video:
        for frame in video:
            look_at(frame.image)
"""

import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, cast

import numpy as np
import numpy.typing as npt

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.attempt import (
    Attempt,
    AttemptFailedError,
    AttemptStarter,
    VideoBytes,
    descriptor_of,
    folder_of,
)
from mover_ray.video.budget import VideoBudget
from mover_ray.video.isolation import sandbox_level
from mover_ray.video.joint_plan import Groups
from mover_ray.video.probe import VideoInfo
from mover_ray.video.reports import Announcement, Finished, FrameReady, Report
from mover_ray.video.request import DecodeRequest
from mover_ray.video.sampling import SamplingPolicy

__all__ = ["Frame", "SampledVideo", "VideoReader", "sandbox_level"]

_SERVER_MODULE: Final = "mover_ray.video.server"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One sampled frame."""

    index: int
    """Position in a full decode in display order, from 0."""
    time_s: float
    """Presentation time in seconds from the first frame."""
    groups: Groups
    """By policy: frames of one group are near neighbours; ascending. None for a policy that
    did not choose this frame."""
    image: npt.NDArray[np.uint8]
    """uint8 RGB [H, W, 3] as displayed, contiguous, the receiver's own."""

    @property
    def group(self) -> int:
        """The group under the first policy that chose the frame."""
        return next(group for group in self.groups if group is not None)

    def under(self, policy: int) -> "Frame | None":
        """Gives the frame as it is without the other policies, if this one chose it."""
        group = self.groups[policy]
        return None if group is None else Frame(self.index, self.time_s, (group,), self.image)


class VideoReader:
    """Opens one video after the other; one reader a worker.

    It must stay with the thread that opens videos: where that thread ends, the kernel ends the
    server too, and the next video starts another.
    """

    def __init__(self, budget: VideoBudget, *, server_module: str = _SERVER_MODULE) -> None:
        """Keeps the settings; the server starts with the first video.

        Args:
            budget: Limits of each video.
            server_module: Module that runs `server.main`.
        """
        self._budget = budget
        self._attempts = AttemptStarter(server_module)

    def open(
        self,
        video: VideoBytes,
        policy: SamplingPolicy,
        key: bytes,
        indices: tuple[int, ...] | None = None,
        others: Sequence[SamplingPolicy] = (),
    ) -> "SampledVideo":
        """Finds out what a video is and which of its frames will be sampled.

        Args:
            video: The descriptor of a regular file or of sealed memory, open for reading, whose
                offset is left alone; a stored object that is read by ranges; or a sequence of
                pictures in an archive. It stays the caller's and must stay open until the result
                is closed.
            policy: Which frames.
            key: Secret of the sampling, mixed with the video's identity.
            indices: Just these frames, ascending, instead of those that the policy would choose;
                no more than its `max_frames`. Without a frame of those the first one comes.
            others: Policies whose frames are wanted too, in the same pass.

        Returns:
            An open video. It must be closed before the next one is opened.

        Raises:
            InputError: The video cannot be used; the status says why.
        """
        size = os.fstat(descriptor_of(video)).st_size
        if size == 0:
            raise InputError(Status.CORRUPT, "the file is empty")
        if size > self._budget.max_bytes:
            limit = self._budget.max_bytes
            raise InputError(Status.TOO_LARGE, f"{size} bytes are over the limit of {limit}")
        folder = folder_of(video)
        request = DecodeRequest(
            budget=self._budget,
            policies=(policy, *others),
            key=key,
            folder=folder,
            indices=indices,
        )
        return SampledVideo(self._attempts, video, request)

    def close(self) -> None:
        """Ends the server; a later `open` starts another."""
        self._attempts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class SampledVideo:
    """An open video; iterating it gives the sampled frames in display order, once.

    A crash of the decoder is answered by another attempt that goes on where the first one broke
    off. One iteration gives all the frames of a clean run, or ends in an `InputError`.
    """

    info: VideoInfo
    """What the video is."""
    num_sampled: int
    """Frames that the policies chose; broken videos may give fewer, and then say so in `flags`."""
    max_gap_s: float
    """Longest stretch of the video without a sampled frame, in seconds."""

    def __init__(self, attempts: AttemptStarter, video: VideoBytes, request: DecodeRequest) -> None:
        """Starts decoding; use `VideoReader.open`."""
        self._starter = attempts
        self._video = video
        self._request = request
        self._left_s = request.budget.wall_s
        self._spent_ms = 0.0
        self._delivered = 0
        self._last_index = -1
        #: Whatever else is to be said of the video; complete once the iteration is over.
        self.flags: tuple[str, ...] = ()
        #: Attempts so far.
        self.attempts = 0
        self._attempt: Attempt | None = None
        try:
            self._begin()
            # Nothing else passes as the first report of an attempt.
            report = cast("Announcement", self._next_report())
        except BaseException:
            self.close()
            raise
        self.info = report.info
        self.num_sampled = report.num_sampled
        self.max_gap_s = report.max_gap_s

    @property
    def decode_ms(self) -> float:
        """CPU milliseconds of the decoding so far, over all attempts."""
        return self._spent_ms + (self._attempt.cpu_ms if self._attempt else 0.0)

    def __iter__(self) -> Iterator[Frame]:
        """Gives the frames.

        Raises:
            InputError: The video cannot be used any further.
        """
        while not isinstance(report := self._next_report(), Finished):
            # Another attempt describes the video once more.
            if isinstance(report, FrameReady):
                image = self._running().take(report)
                self._delivered += 1
                self._last_index = report.index
                yield Frame(report.index, report.time_s, report.groups, image)
        self.flags = report.flags
        self.close()

    def close(self) -> None:
        """Ends the decoding, wherever it is."""
        if self._attempt is not None:
            attempt, self._attempt = self._attempt, None
            self._spent_ms += attempt.cpu_ms
            self._starter.end(attempt)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(self) -> None:
        self.attempts += 1
        request = dataclasses.replace(self._request, skip=self._delivered)
        self._attempt = self._starter.start(self._video, request, self._last_index)

    def _running(self) -> Attempt:
        if self._attempt is None:
            raise RuntimeError("the video is closed")
        return self._attempt

    def _next_report(self) -> Report:
        """Waits for the decoder, in further attempts if need be."""
        while True:
            try:
                return self._wait()
            except AttemptFailedError as failure:
                self.close()
                if not failure.again or self.attempts >= self._request.budget.max_attempts:
                    tries = f", {self.attempts} attempts" if failure.again else ""
                    text = f"{failure}{tries}"
                    raise InputError(failure.status, text, self.attempts) from failure
                self._begin()

    def _wait(self) -> Report:
        """Waits for one message within what is left of the video's time."""
        started = time.monotonic()
        try:
            # A time-out of 0 would mean not to wait even for what is there already.
            return self._running().next(max(self._left_s, 0.001))
        except TimeoutError:
            text = f"decoding takes more than {self._request.budget.wall_s:g} s"
            raise InputError(Status.TIMEOUT, text, self.attempts) from None
        finally:
            self._left_s -= time.monotonic() - started
