"""Puts a report together: one HTML file that needs no server and no other file."""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

from mover_ray.report import charts
from mover_ray.report.content import Card, Content, Picture

COLUMNS: Final = (
    ("name", "Video"),
    ("score", "Score"),
    ("status", "Status"),
    ("num_tracks", "Faces"),
    ("duration_s", "Length"),
    ("label", "Label"),
)
_NUMERIC: Final = ("score", "num_tracks", "duration_s")

#: Scalar columns of the rows behind the table.
LINE_COLUMNS: Final = ("video_id", "uri", "score", "status", "error", *_NUMERIC[1:], "label")

_CARD_FACTS: Final = (
    *("video_id", "sha256", "etag", "version_id", "size_bytes", "codec", "width", "height", "fps"),
    *("num_frames", "coverage", "max_gap_s", "flags", "head_scores", "disagreement"),
    *("label", "dataset", "method", "model_id", "model_sha256", "config_fingerprint"),
    *("run_id", "scored_at"),
)
_LONGEST_ERROR: Final = 200
_DIGITS: Final = 4


def render(content: Content) -> str:
    """Gives the page.

    The page's own policy lets nothing run but its one script and fetches nothing, so that a
    file name in an archive cannot become code.
    """
    summary = content.summary
    style, script = _asset("style.css"), _asset("table.js")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        _asset("page.html")
    )
    return template.render(
        content=content,
        summary=summary,
        failures=summary.failures(),
        completeness=_completeness(content),
        rate=_rate(content),
        charts=_charts(content),
        columns=COLUMNS,
        numeric=_NUMERIC,
        last_style=charts.TRACK_STYLES - 1,
        origin=list(_origin(content)),
        policy=f"default-src 'none'; img-src data:; {_allow(style=style, script=script)}",
        style=style,
        script=script,
        data=_embedded(table_data(content.lines)),
        share=lambda count: f"{100 * count / max(summary.videos, 1):.1f} %",
        duration=_duration,
        size=_size,
        data_uri=_data_uri,
        describe=lambda picture: _describe(picture, blurred=not content.unblurred),
        provenance=_provenance,
        timeline=_timeline,
    )


def table_data(lines: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Gives the table's columns; a folder's name is written once.

    Args:
        lines: Rows with `LINE_COLUMNS`.
    """
    folders: dict[str, int] = {}
    data: dict[str, list[Any]] = {
        name: [] for name in ("video_id", "name", "folder", "error", "score", "status", "label")
    }
    data |= {"num_tracks": [], "duration_s": []}
    for line in lines:
        folder, slash, name = line["uri"].rpartition("/")
        data["video_id"].append(str(line["video_id"]))
        data["name"].append(name)
        data["folder"].append(folders.setdefault(folder + slash, len(folders)))
        data["error"].append((line["error"] or "")[:_LONGEST_ERROR])
        data["status"].append(line["status"])
        data["label"].append(line["label"] or "")
        for key in _NUMERIC:
            value = line[key]
            data[key].append(None if value is None else round(value, _DIGITS))
    return {**data, "folders": list(folders)}


def _charts(content: Content) -> dict[str, str]:
    summary = content.summary
    statuses = [
        (status, float(count), f"{count:,}") for status, count in summary.counts.most_common()
    ]
    stages = [(name, spent, _duration(spent)) for name, spent in summary.stages_s.items()]
    return {
        "scores": charts.histogram(summary.histogram),
        "statuses": charts.bars(statuses, "Videos by status"),
        "stages": charts.bars(stages, "Processor time by stage"),
    }


def _timeline(card: Card) -> str:
    return charts.timeline(card.tracks, card.row["duration_s"] or 0.0)


def _completeness(content: Content) -> str:
    if content.success is not None:
        return "complete: one row for each"
    if content.expected:
        return f"{100 * content.summary.videos / content.expected:.1f} % of {content.expected:,}"
    return "not complete"


def _rate(content: Content) -> str | None:
    success = content.success
    if success is None or not success.get("seconds"):
        return None
    processed = success["total"] - success.get("resumed", 0)
    return f"{processed / success['seconds']:.3g}" if processed else None


def _origin(content: Content) -> Iterator[tuple[str, str]]:
    for (name, sha256), count in content.summary.models.most_common():
        yield "model", f"{name}, SHA-256 {sha256} ({count:,} videos)"
    if content.success is None:
        return
    success = content.success
    code = success["code"]
    revision = f", revision {code['revision']}" if code.get("revision") else ""
    yield "mover-ray", f"{code['version']}{revision}"
    yield "settings", success["identity"]["configuration"]
    yield "manifest", f"SHA-256 {success['manifest_sha256']}"
    yield "libraries", ", ".join(f"{k} {v}" for k, v in success["libraries"].items() if v)


def _provenance(card: Card) -> Iterator[tuple[str, str]]:
    for name in _CARD_FACTS:
        value = card.row[name]
        if value not in (None, [], ""):
            yield name, _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _describe(picture: Picture, *, blurred: bool) -> str:
    said = [f"Face {picture.track_id} at {picture.time_s:.1f} seconds"]
    if picture.score is not None:
        said.append(f"score {picture.score:.2f}")
    if blurred:
        said.append("made unrecognisable")
    if picture.heat is not None:
        said.append(f"suspicious regions marked ({picture.mask_kind} mask)")
    return ", ".join(said)


def _asset(name: str) -> str:
    folder = resources.files("mover_ray.report").joinpath("page")
    return folder.joinpath(name).read_text(encoding="utf-8")


def _allow(**texts: str) -> str:
    digests = {kind: hashlib.sha256(text.encode()).digest() for kind, text in texts.items()}
    return "; ".join(
        f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'"
        for kind, digest in digests.items()
    )


def _embedded(data: Any) -> str:
    """Gives JSON that no text in it can end the script element of."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _size(count: int) -> str:
    for unit, length in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count / 1024:.0f} KiB"
