"""What stands on a report's page, apart from how it looks."""

from dataclasses import dataclass, field
from typing import Any

from mover_ray.report.summary import Summary


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A face at one moment."""

    track_id: int
    time_s: float
    score: float | None
    jpeg: bytes
    """Surroundings of the face."""
    heat: bytes | None
    """PNG with transparency, to lie over the whole of `jpeg`; None without a mask."""
    mask_kind: str | None
    """`trained`, `residual` or `attention`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """A face and its scores over time."""

    track_id: int
    score: float | None
    """None for a face that is not eligible."""
    points: list[tuple[float, float]]
    """Time in seconds and score of each scored frame, by time."""
    span_s: tuple[float, float]
    """First and last time that the face was seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One of the most suspicious videos."""

    row: dict[str, Any]
    """Its row's scalar columns."""
    tracks: list[Track]
    """The most suspicious first."""
    pictures: list[Picture]
    note: str | None
    """Why there are no pictures."""

    @property
    def name(self) -> str:
        """The file's name."""
        return str(self.row["uri"]).rpartition("/")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """Everything on the page."""

    dest: str
    """Where the results lie."""
    summary: Summary
    success: dict[str, Any] | None
    """The record of the finished run; None before."""
    expected: int | None
    """Videos of the manifest."""
    lines: list[dict[str, Any]]
    """The table's videos: scalar columns, the most suspicious first."""
    cards: list[Card]
    unblurred: bool
    """Whether faces can be recognised."""
    made_at: str
    """When the page was made."""
    alarm_sentences: list[str] = field(default_factory=list)
    """What the model's thresholds say of this archive."""
