"""Charts of a report as plain SVG; colours and fonts come from the page's style sheet."""

from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

from mover_ray.report.content import Track

#: Tracks beyond these share the last style.
TRACK_STYLES: Final = 5

_WIDTH: Final = 640
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 10, 28
_HISTOGRAM_HEIGHT: Final = 200
_TIMELINE_HEIGHT: Final = 180
_BAR_HEIGHT: Final = 26
# The longest status has 13 letters.
_NAMES: Final = 140
_LONGEST_BAR: Final = 370


def histogram(counts: np.ndarray) -> str:
    """Draws how many videos have which score.

    Args:
        counts: [N] of equal bins over [0, 1].
    """
    most = max(int(counts.max()), 1)
    label = f"Scores of {int(counts.sum()):,} videos from 0 to 1; the fullest bar has {most:,}"
    svg, plot = _canvas(_HISTOGRAM_HEIGHT, label)
    step = plot.width / len(counts)
    for index, count in enumerate(counts.tolist()):
        height = plot.height * count / most
        bar = _rect(svg, plot.x + index * step + 1, plot.bottom - height, step - 2, height, "bar")
        low, high = index / len(counts), (index + 1) / len(counts)
        SubElement(bar, "title").text = f"{low:.2f} to {high:.2f}: {count:,} videos"
    for value in (0, 0.25, 0.5, 0.75, 1):
        _text(svg, plot.x + plot.width * value, plot.bottom + 18, f"{value:g}", "middle")
    _line(svg, plot.x, plot.bottom, plot.x + plot.width, plot.bottom, "axis")
    _text(svg, plot.x - 6, plot.y + 10, _short(most), "end")
    _text(svg, plot.x - 6, plot.bottom, "0", "end")
    return _to_text(svg)


def bars(values: Sequence[tuple[str, float, str]], label: str) -> str:
    """Draws one bar a line.

    Args:
        values: Name, length and what stands behind the bar.
        label: What the chart shows, for those who cannot see it.
    """
    said = "; ".join(f"{name} {text}" for name, _, text in values)
    height = _BAR_HEIGHT * len(values)
    svg = _svg(height, f"{label}: {said}")
    most = max((value for _, value, _ in values), default=0) or 1
    for index, (name, value, text) in enumerate(values):
        y = index * _BAR_HEIGHT
        _text(svg, _NAMES - 8, y + 17, name, "end")
        length = max(2.0, _LONGEST_BAR * value / most)
        _rect(svg, _NAMES, y + 5, length, _BAR_HEIGHT - 10, "bar")
        _text(svg, _NAMES + 8 + length, y + 17, text, "start")
    return _to_text(svg)


def timeline(tracks: Sequence[Track], duration_s: float) -> str:
    """Draws the scores of a video's faces over time.

    Args:
        tracks: The most suspicious first.
        duration_s: Length of the video.
    """
    duration_s = max(duration_s, *(track.span_s[1] for track in tracks), 0.04)
    said = "; ".join(_describe(track) for track in tracks)
    svg, plot = _canvas(_TIMELINE_HEIGHT, f"Scores over {duration_s:.1f} s: {said}")
    for value in (0.0, 0.5, 1.0):
        y = plot.bottom - plot.height * value
        _line(svg, plot.x, y, plot.x + plot.width, y, "axis" if value == 0 else "grid")
        _text(svg, plot.x - 6, y + 4, f"{value:g}", "end")
    for time_s in np.linspace(0, duration_s, 5).tolist():
        x = plot.x + plot.width * time_s / duration_s
        _text(svg, x, plot.bottom + 18, f"{time_s:.1f} s", "end" if time_s else "start")
    # The most suspicious face is drawn last: nothing covers it.
    for number, track in reversed(list(enumerate(tracks))):
        _track(svg, plot, track, min(number, TRACK_STYLES - 1), duration_s)
    return _to_text(svg)


def _describe(track: Track) -> str:
    if track.score is None:
        return f"face {track.track_id} was not scored"
    highest = max(track.points, key=lambda point: point[1])
    return f"face {track.track_id} scores {track.score:.2f}, highest at {highest[0]:.1f} s"


class _Plot:
    def __init__(self, height: float) -> None:
        self.x, self.y = float(_LEFT), float(_TOP)
        self.width = float(_WIDTH - _LEFT - _RIGHT)
        self.height = height - _TOP - _BOTTOM
        self.bottom = self.y + self.height


def _track(svg: Element, plot: _Plot, track: Track, style: int, duration_s: float) -> None:
    places = [
        (plot.x + plot.width * time_s / duration_s, plot.bottom - plot.height * score)
        for time_s, score in track.points
    ]
    group = SubElement(svg, "g", {"class": f"track track-{style}"})
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    SubElement(group, "polyline", {"points": line, "fill": "none"})
    for (x, y), (time_s, score) in zip(places, track.points, strict=True):
        dot = SubElement(group, "circle", {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "3"})
        SubElement(dot, "title").text = f"face {track.track_id}, {time_s:.2f} s: {score:.3f}"


def _canvas(height: float, label: str) -> tuple[Element, _Plot]:
    return _svg(height, label), _Plot(height)


def _svg(height: float, label: str) -> Element:
    box = f"0 0 {_WIDTH} {height:g}"
    return Element("svg", {"viewBox": box, "role": "img", "aria-label": label, "class": "chart"})


def _rect(svg: Element, x: float, y: float, width: float, height: float, kind: str) -> Element:
    sides = {"x": x, "y": y, "width": max(width, 0), "height": max(height, 0)}
    attributes = {name: f"{value:.1f}" for name, value in sides.items()}
    return SubElement(svg, "rect", {**attributes, "class": kind})


def _line(svg: Element, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    attributes = {name: f"{value:.1f}" for name, value in ends.items()}
    SubElement(svg, "line", {**attributes, "class": kind})


def _text(svg: Element, x: float, y: float, text: str, anchor: str) -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    SubElement(svg, "text", place).text = text


def _to_text(svg: Element) -> str:
    return tostring(svg, encoding="unicode")


def _short(count: int) -> str:
    return f"{count / 1000:.3g}k" if count >= 10_000 else f"{count:,}"
