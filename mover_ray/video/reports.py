"""What a child says about its video. Nothing of it is believed before it is checked."""

import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from mover_ray.config import from_mapping
from mover_ray.errors import ConfigError, InputError
from mover_ray.status import Status
from mover_ray.video.joint_plan import Groups
from mover_ray.video.probe import VideoInfo
from mover_ray.video.protocol import Message, ProtocolError
from mover_ray.video.request import DecodeRequest

_LONGEST_TEXT: Final = 1000
#: What a child may say of a video; the other words are about fetching and scoring.
_CHILD_STATUSES: Final = frozenset(
    {
        Status.CORRUPT,
        Status.UNSUPPORTED,
        Status.TOO_LARGE,
        Status.CRASHED,
        Status.OUT_OF_MEMORY,
    }
)


@dataclass(frozen=True, slots=True)
class Announcement:
    """The first message of a video that can be decoded."""

    info: VideoInfo
    num_sampled: int
    max_gap_s: float


@dataclass(frozen=True, slots=True)
class FrameReady:
    """A picture of this size waits in the shared memory."""

    index: int
    time_s: float
    groups: Groups
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Finished:
    """All frames have been delivered."""

    flags: tuple[str, ...]


Report: TypeAlias = Announcement | FrameReady | Finished


class ReportReader:
    """Reads the messages of one attempt in their order."""

    def __init__(self, request: DecodeRequest, last_index: int) -> None:
        """Keeps what was asked for.

        Args:
            request: What the child decodes.
            last_index: Of the frame that an earlier attempt has delivered last, or -1.
        """
        self._request = request
        self._last_index = last_index
        # Frames that are still to come; None before the video has been described.
        self._left: int | None = None

    def read(self, message: Message) -> tuple[Report, float]:
        """Gives a message's report and the CPU milliseconds that the child has used.

        The first report is an announcement, and no other one is.

        Raises:
            InputError: The child found that the video cannot be used.
            ProtocolError: The message is none that a sound child sends.
        """
        try:
            return self._report(message), _number(message, "cpu_ms")
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise ProtocolError("not a report") from error

    def _report(self, message: Message) -> Report:
        kind = message["kind"]
        if kind == "error" and message["status"] in _CHILD_STATUSES:
            raise InputError(Status(message["status"]), _text(message["text"]))
        if kind == "info" and self._left is None:
            return self._announcement(message)
        if kind == "frame" and self._left:
            return self._frame(message)
        if kind == "end" and self._left is not None:
            return Finished(tuple(_text(flag) for flag in message["flags"]))
        raise ValueError(f"unexpected: {kind!r}")

    def _announcement(self, message: Message) -> Announcement:
        info = from_mapping(VideoInfo, message["info"])
        _number(message["info"], "duration_s")
        for name in ("codec", "container", "pixel_format"):
            _text(getattr(info, name))
        sampled = _count(message, "num_sampled")
        if not 0 < sampled <= sum(policy.max_frames for policy in self._request.policies):
            raise ValueError(f"{sampled} frames are sampled")
        self._left = sampled - self._request.skip
        return Announcement(info, sampled, _number(message, "max_gap_s"))

    def _frame(self, message: Message) -> FrameReady:
        height, width = _count(message, "height"), _count(message, "width")
        if not 0 < height * width <= self._request.budget.max_pixels:
            raise ValueError(f"a frame of {width}x{height} pixels")
        index = _count(message, "index")
        if index <= self._last_index:
            raise ValueError(f"frame {index} after {self._last_index}")
        self._last_index = index
        self._left = (self._left or 0) - 1
        return FrameReady(
            index, _number(message, "time_s"), self._groups(message["groups"]), height, width
        )

    def _groups(self, groups: list[Any]) -> Groups:
        if len(groups) != len(self._request.policies) or set(groups) == {None}:
            raise ValueError(f"no groups of a frame: {groups!r}")
        return tuple(None if group is None else _as_count(group) for group in groups)


def _number(message: dict[str, Any], name: str) -> float:
    value = message[name]
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{name} is no number: {value!r}")
    return float(value)


def _count(message: dict[str, Any], name: str) -> int:
    return _as_count(message[name])


def _as_count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**62:
        raise ValueError(f"no count: {value!r}")
    return value


def _text(value: Any) -> str:
    if type(value) is not str or len(value) > _LONGEST_TEXT:
        raise ValueError("no text, or too long a one")
    return "".join(letter if letter.isprintable() else " " for letter in value)
