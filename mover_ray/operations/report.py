"""`report`: one HTML page of a run, for whoever reads results without a program."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mover_ray.config import check_at_least
from mover_ray.errors import ConfigError, InputError, LocationError, StorageError
from mover_ray.models import bundle as bundles
from mover_ray.models.calibration import find_threshold
from mover_ray.operations.json_values import plain
from mover_ray.operations.peaks import Peak, peaks_of
from mover_ray.pipelines.results import SCALARS, Results, Row, open_results, top
from mover_ray.provenance import utc_now
from mover_ray.report import pictures
from mover_ray.report.content import Card, Content, Picture, Track
from mover_ray.report.page import LINE_COLUMNS, render
from mover_ray.report.summary import SUMMARY_COLUMNS, Alarm, summarise
from mover_ray.report.words import alarm_sentence
from mover_ray.stages.fetch import reachable
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import Frame, VideoReader

Message = Callable[[str], None]

_CARD_COLUMNS = (*SCALARS, "faces", "masks")
_CARDS_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportOptions:
    """What `report` was asked to do."""

    results: str
    """Destination of `score`."""
    out: Path
    """HTML file to write; an older one is replaced."""
    cards: int = 20
    """Videos that are shown with pictures."""
    rows: int = 100_000
    """Videos of the table at most, the most suspicious ones."""
    unblurred: bool = False
    """Leave faces recognisable."""
    pictures: bool = True
    """Read the videos again for pictures of the faces."""
    model: str | None = None
    """Bundle that scored: its thresholds say what false alarms to expect."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "cards", 0)
        check_at_least(self, "rows", 1)


def write_report(options: ReportOptions, message: Message) -> Content:
    """Writes the page; gives what is on it.

    Args:
        options: What is wanted.
        message: Told what is being done.

    Raises:
        ArtifactError: There is no such bundle.
        ConfigError: Another model made the results.
        LocationError: There are no results, or `out` cannot be written.
    """
    results = open_results(options.results)
    alarms = _alarms(results, options.model)
    message("counting the rows")
    summary = summarise(results.tables(SUMMARY_COLUMNS), alarms)
    content = Content(
        dest=results.destination.base,
        summary=summary,
        success=None if results.success is None else dict(results.success),
        expected=_expected(results),
        lines=_lines(results, options.rows),
        cards=list(_cards(results, options, message)),
        unblurred=options.unblurred,
        made_at=utc_now(),
        alarm_sentences=[alarm_sentence(alarm) for alarm in alarms if alarm.judged],
    )
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(render(content), encoding="utf-8")
    except OSError as error:
        raise LocationError(f"cannot be written: `{options.out}`: {error.strerror}") from error
    return content


def _alarms(results: Results, model: str | None) -> list[Alarm]:
    if model is None:
        return []
    bundle = bundles.load(model)
    if bundle.model_sha256 != results.identity["model"]:
        raise ConfigError(
            f"another model made the results: `{results.destination.base}`",
            hint="give the bundle that scored as --model, or none",
        )
    rates = sorted({threshold.false_positive_rate for threshold in bundle.thresholds})

    def finder(rate: float) -> Callable[[int], float | None]:
        return lambda tracks: find_threshold(bundle.thresholds, rate, tracks)

    return [Alarm(rate, finder(rate)) for rate in rates]


def _expected(results: Results) -> int | None:
    if results.success is not None:
        return int(results.success["total"])
    manifest = results.destination.read_manifest()
    return None if manifest is None else manifest.num_rows


def _lines(results: Results, count: int) -> list[Row]:
    """Gives the table's rows: scored videos, the highest score first, and then the others."""
    scored = top(results, count, LINE_COLUMNS).to_pylist()
    lines: list[Row] = list(scored)
    for rows in results.tables(LINE_COLUMNS):
        if len(lines) >= count:
            break
        lines += [row for row in rows.to_pylist() if row["status"] != Status.OK]
    return lines[:count]


def _cards(results: Results, options: ReportOptions, message: Message) -> Iterator[Card]:
    if not options.cards:
        return
    ids = top(results, options.cards, ("video_id",))["video_id"].to_pylist()
    message(f"making {len(ids)} cards")
    with VideoReader(VideoBudget()) as reader:
        for start in range(0, len(ids), _CARDS_AT_ONCE):
            for row in results.take(ids[start : start + _CARDS_AT_ONCE], _CARD_COLUMNS):
                yield _card(row, reader, options)


def _card(row: Row, reader: VideoReader, options: ReportOptions) -> Card:
    shots: list[Picture] = []
    note = "none were asked for"
    if options.pictures:
        try:
            shots = list(_pictures(row, reader, unblurred=options.unblurred))
            note = "no frame was scored"
        except (InputError, StorageError) as error:
            note = f"the video cannot be read any more ({error.status}): {error}"
    return Card(
        row={name: plain(row[name], name) for name in SCALARS},
        tracks=_tracks(row),
        pictures=shots,
        note=None if shots else note,
    )


def _tracks(row: Row) -> list[Track]:
    tracks = [
        Track(
            track_id=face["track_id"],
            score=face["score"],
            points=[
                (frame["time_s"], frame["score"])
                for frame in face["frames"]
                if frame["score"] is not None
            ],
            span_s=(face["first_s"], face["last_s"]),
        )
        for face in row["faces"]
    ]
    return sorted(tracks, key=lambda track: -1.0 if track.score is None else track.score)[::-1]


def _pictures(row: Row, reader: VideoReader, *, unblurred: bool) -> Iterator[Picture]:
    """Reads the video's most suspicious frames again and cuts the faces out of them."""
    peaks = {peak.frame_index: peak for peak in peaks_of(row)}
    if not peaks:
        return
    pinned = {"mtime_ns": None, **row}
    with (
        reachable(pinned, VideoBudget().max_bytes) as video,
        reader.open(video.bytes, SamplingPolicy(), b"", tuple(sorted(peaks))) as frames,
    ):
        for frame in frames:
            if frame.index in peaks:
                yield _picture(frame, peaks[frame.index], row, unblurred=unblurred)


def _picture(frame: Frame, peak: Peak, row: Row, *, unblurred: bool) -> Picture:
    boxes = [
        one["box"]
        for face in row["faces"]
        for one in face["frames"]
        if one["frame_index"] == frame.index
    ]
    region = pictures.around(peak.box, (frame.image.shape[1], frame.image.shape[0]))
    image = frame.image if unblurred else pictures.pixelate(frame.image, boxes)
    mask: dict[str, Any] | None = peak.mask
    return Picture(
        track_id=peak.track_id,
        time_s=peak.time_s,
        score=peak.score,
        jpeg=pictures.cut(image, region),
        heat=None if mask is None else pictures.heat(mask, region),
        mask_kind=None if mask is None else mask["kind"],
    )
