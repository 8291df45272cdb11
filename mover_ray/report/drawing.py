"""Draws what the model found over the frames of a video."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.report import pictures

Image: TypeAlias = npt.NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]

#: A box stands for so long before and after the frames in which its face was seen.
_HOLD_S: Final = 0.5
#: So does a mask; it was made of one frame.
_MASK_HOLD_S: Final = 0.25
#: Colours of the scores 0, 0.5 and 1.
_CALM, _BETWEEN, _ALARM = (60, 175, 105), (240, 190, 50), (230, 55, 45)
_UNKNOWN: Final = (150, 155, 165)
_BAR: Final = (24, 27, 31)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class TrackPath:
    """A face's boxes and scores over time."""

    track_id: int
    score: float | None
    times_s: list[float]
    boxes: npt.NDArray[np.float32]
    """[N, 4] xyxy."""

    @classmethod
    def of(cls, face: Mapping[str, Any]) -> "TrackPath":
        """Takes an entry of the `faces` column."""
        frames = face["frames"]
        boxes = np.array([frame["box"] for frame in frames], np.float32).reshape(-1, 4)
        return cls(face["track_id"], face["score"], [one["time_s"] for one in frames], boxes)

    def box_at(self, time_s: float) -> npt.NDArray[np.float32] | None:
        """Gives where the face is, between two sightings on the straight line; None if nowhere."""
        if not self.times_s:
            return None
        if not self.times_s[0] - _HOLD_S <= time_s <= self.times_s[-1] + _HOLD_S:
            return None
        after = bisect_right(self.times_s, time_s)
        if after in (0, len(self.times_s)):
            return np.asarray(self.boxes[min(after, len(self.times_s) - 1)])
        before_s, after_s = self.times_s[after - 1], self.times_s[after]
        share = (time_s - before_s) / (after_s - before_s)
        return np.asarray(self.boxes[after - 1] * (1 - share) + self.boxes[after] * share)


class Overlay:
    """Draws one video's findings; frames may come in any order."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        """Takes a row with `faces`, `segments`, `masks` and `duration_s`."""
        self._tracks = [TrackPath.of(face) for face in row["faces"]]
        self._segments: Sequence[Mapping[str, Any]] = row["segments"]
        self._masks: Sequence[Mapping[str, Any]] = row["masks"]
        self._duration_s = max(
            row["duration_s"] or 0.0, *(track.times_s[-1] for track in self._tracks), 0.04
        )

    def draw(self, image: Image, time_s: float) -> Image:
        """Gives a frame with heat, boxes and scores on it and the timeline below.

        Args:
            image: uint8 RGB [H, W, 3].
            time_s: When it is shown.

        Returns:
            uint8 RGB [H + bar, W, 3], both sides even.
        """
        out = np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])
        out = out.copy()
        for mask in self._masks_at(time_s):
            _add_heat(out, mask)
        for track in self._tracks:
            box = track.box_at(time_s)
            if box is not None:
                _add_box(out, box, track)
        return np.vstack([out, self._bar(out.shape[1], _bar_height(out.shape[0]), time_s)])

    def _masks_at(self, time_s: float) -> Iterable[Mapping[str, Any]]:
        """Gives the nearest mask of each face, where one is near enough."""
        nearest: dict[int, Mapping[str, Any]] = {}
        for mask in sorted(self._masks, key=lambda mask: -abs(mask["time_s"] - time_s)):
            if abs(mask["time_s"] - time_s) <= _MASK_HOLD_S:
                nearest[mask["track_id"]] = mask
        return nearest.values()

    def _bar(self, width: int, height: int, time_s: float) -> Image:
        """Draws each scored stretch as a block, higher and redder with its score."""
        bar = np.full((height, width, 3), _BAR, np.uint8)
        for segment in self._segments:
            x0 = int(segment["start_s"] / self._duration_s * (width - 1))
            x1 = max(x0 + 2, int(segment["end_s"] / self._duration_s * (width - 1)))
            top = int((height - 2) * (1 - segment["score"]))
            cv2.rectangle(bar, (x0, top), (x1, height), colour_of(segment["score"]), -1)
        middle = height // 2
        cv2.line(bar, (0, middle), (width, middle), (90, 96, 104), 1)
        x = round(min(time_s / self._duration_s, 1.0) * (width - 1))
        cv2.line(bar, (x, 0), (x, height), (255, 255, 255), max(1, width // 400))
        return bar


def colour_of(score: float | None) -> Colour:
    """Gives the RGB colour of a score: calm below a half, alarming above; gray without one."""
    if score is None:
        return _UNKNOWN
    low, high = (_CALM, _BETWEEN) if score < 0.5 else (_BETWEEN, _ALARM)
    share = min(max(2 * score - (score >= 0.5), 0.0), 1.0)
    red, green, blue = (
        round(start + (end - start) * share) for start, end in zip(low, high, strict=True)
    )
    return red, green, blue


def _bar_height(frame_height: int) -> int:
    return max(16, frame_height // 12 // 2 * 2)


def _add_heat(out: Image, mask: Mapping[str, Any]) -> None:
    height, width = out.shape[:2]
    x0, y0 = (max(0, int(side)) for side in mask["box"][:2])
    x1, y1 = (int(min(s, most)) for s, most in zip(mask["box"][2:], (width, height), strict=True))
    if x1 <= x0 or y1 <= y0:
        return
    levels = pictures.place(dict(mask), (x0, y0, x1, y1), (x1 - x0, y1 - y0))
    share = pictures.opacity(levels)[..., None].astype(np.float32) / 255
    piece = out[y0:y1, x0:x1]
    piece[:] = (piece * (1 - share) + pictures.colours(levels) * share).round().astype(np.uint8)


def _add_box(out: Image, box: npt.NDArray[np.float32], track: TrackPath) -> None:
    colour = colour_of(track.score)
    scale = max(0.4, out.shape[0] / 900)
    thickness = max(1, round(2 * scale))
    x0, y0, x1, y1 = (round(float(side)) for side in box)
    cv2.rectangle(out, (x0, y0), (x1, y1), colour, thickness + 1)
    said = "not scored" if track.score is None else f"{track.score:.2f}"
    text = f"face {track.track_id}: {said}"
    (width, height), below = cv2.getTextSize(text, _FONT, scale, thickness)
    x = min(max(x0, 0), max(0, out.shape[1] - width - 4))
    y = max(y0 - below - 2, height + 4)
    cv2.rectangle(out, (x, y - height - 3), (x + width + 4, y + below), _BAR, -1)
    cv2.putText(out, text, (x + 2, y), _FONT, scale, (255, 255, 255), thickness, cv2.LINE_AA)
