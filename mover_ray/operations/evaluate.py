"""Holds results against the truth, as a protocol asks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mover_ray.config import to_mapping
from mover_ray.datasets.splits import check_no_leak
from mover_ray.errors import ConfigError, LocationError
from mover_ray.evaluation import benchmark_quirks
from mover_ray.evaluation.aggregate import measure
from mover_ray.evaluation.bootstrap import BootstrapConfig
from mover_ray.evaluation.metrics import best_threshold
from mover_ray.evaluation.protocols import (
    Protocol,
    Subset,
    check_names,
    find_protocol,
    subsets,
    takes,
)
from mover_ray.evaluation.published import published
from mover_ray.evaluation.report import Line, MaskLine, Report
from mover_ray.evaluation.videos import Videos
from mover_ray.operations.evaluate_masks import mask_lines
from mover_ray.operations.result_sets import (
    ResultSet,
    check_names_differ,
    file_stems,
    read_frames,
    read_result_set,
    read_truth,
)
from mover_ray.provenance import dump_json
from mover_ray.storage import normalise

VALIDATION = "val"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateOptions:
    """What the command `evaluate` was asked to do."""

    results: tuple[str, ...]
    """Destinations of `score`, each `DEST` or `NAME=DEST`."""
    protocol: str = "summary"
    """Key of `evaluation.protocols.PROTOCOLS`."""
    split: str = "test"
    """Split that is evaluated, in data sets that have splits."""
    manifest: str | None = None
    """Where labels come from; each run's own manifest by default."""
    threshold_from: tuple[str, ...] = ()
    """Results on validation data, one for each model."""
    trained_on: tuple[str, ...] = ()
    """Manifests that the models were trained on."""
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    """How intervals are drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A report, and the scores that its plots are drawn from."""

    report: Report
    videos: dict[tuple[str, str], Videos]
    """Scored videos by the names of results and data set."""


def evaluate(options: EvaluateOptions) -> Evaluation:
    """Measures results.

    Raises:
        ConfigError: The protocol cannot be followed, or what was trained on is tested on.
        LocationError: There are no such results.
    """
    protocol = find_protocol(options.protocol)
    sets = [read_result_set(one, options.manifest) for one in options.results]
    check_names_differ(sets)
    check_names(protocol, [one.name for one in sets])
    thresholds = _thresholds(sets, options)
    lines: list[Line] = []
    masks: list[MaskLine] = []
    notes: list[str] = []
    plotted: dict[tuple[str, str], Videos] = {}
    for results in sets:
        videos = _evaluated(results, protocol, options)
        found = list(subsets(protocol, videos))
        plotted |= {
            (results.name, one.dataset): videos.select(one.chosen & videos.scored)
            for one in found
            if not one.part
        }
        threshold = thresholds.get(results.name)
        lines += [_line(results, videos, one, options, threshold) for one in found]
        if protocol.frames:
            lines += _frame_lines(results, videos, found, options)
        if protocol.masks:
            own, said = mask_lines(results, videos, found, options.manifest)
            masks += own
            notes += said
    report = Report(
        protocol=options.protocol,
        question=protocol.question,
        split=options.split,
        models={one.name: one.model_sha256 for one in sets},
        thresholds=thresholds,
        lines=tuple(lines),
        masks=tuple(masks),
        notes=(*notes, *_notes(sets, protocol, options)),
        quirks=protocol.quirks,
        settings=to_mapping(options.bootstrap),
    )
    return Evaluation(report, plotted)


def write(evaluation: Evaluation, out: str) -> list[Path]:
    """Writes `report.json`, tables as CSV and the plots into a local folder; gives their paths.

    Raises:
        LocationError: The folder cannot be made or written.
    """
    from mover_ray.evaluation import plots  # matplotlib takes half a second to import

    folder, report = Path(out), evaluation.report
    texts = {"report.json": dump_json(report.as_json()), "report.csv": report.as_csv()}
    if report.masks:
        texts["masks.csv"] = report.masks_as_csv()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        drawn = plots.draw(evaluation.videos, report, folder)
    except OSError as error:
        raise LocationError(f"the report cannot be written: {error}") from error
    return [*(folder / name for name in texts), *drawn]


def _evaluated(results: ResultSet, protocol: Protocol, options: EvaluateOptions) -> Videos:
    """Gives the videos that the protocol takes, once it is sure that none was trained on."""
    videos = results.videos.of_split(options.split)
    videos = videos.select(np.array([takes(protocol, one) for one in videos.dataset], dtype=bool))
    if not len(videos):
        raise ConfigError(
            f"no video with a label takes part: `{results.name}`",
            hint=f"the protocol `{options.protocol}` looks at split `{options.split}`; "
            "labels come from a manifest: `--manifest`",
        )
    for uri in options.trained_on:
        check_no_leak(_seen(uri, options.split), _rows_of(results, videos))
    return videos


def _seen(manifest: str, evaluated: str) -> pa.Table:
    """Gives the rows of a training manifest that a training may have looked at."""
    truth = read_truth(normalise(manifest))
    splits = truth["split"].fill_null("")
    held_out = pc.equal(splits, evaluated)
    # Validation data has chosen the checkpoint: it is seen, too. The test split never is.
    return truth.filter(pc.invert(pc.or_(held_out, pc.equal(splits, "test"))))


def _rows_of(results: ResultSet, videos: Videos) -> pa.Table:
    ids = results.table["video_id"]
    return results.table.filter(pc.is_in(ids, value_set=pa.array(videos.ids)))


def _thresholds(sets: Sequence[ResultSet], options: EvaluateOptions) -> dict[str, float]:
    """Fixes a threshold for each model on its validation results."""
    found: dict[str, float] = {}
    for argument in options.threshold_from:
        validation = read_result_set(argument, options.manifest)
        videos = validation.videos.of_split(VALIDATION)
        videos = videos.select(videos.scored)
        if not len(videos) or videos.fake.all() or not videos.fake.any():
            raise ConfigError(
                f"no scored real and fake videos of split `{VALIDATION}`: `{argument}`",
                hint="a threshold is fixed on validation data",
            )
        same = [one for one in sets if one.model_sha256 == validation.model_sha256]
        if not same:
            raise ConfigError(f"another model made the validation results: `{argument}`")
        for results in same:
            tested = results.videos.of_split(options.split)
            check_no_leak(_rows_of(validation, videos), _rows_of(results, tested))
            found[results.name] = best_threshold(videos.fake, videos.scores)
    return found


def _line(
    results: ResultSet,
    videos: Videos,
    subset: Subset,
    options: EvaluateOptions,
    threshold: float | None,
) -> Line:
    return Line(
        run=results.name,
        dataset=subset.dataset,
        part=subset.part,
        unit="video",
        figures=measure(videos.select(subset.chosen), options.bootstrap, threshold),
        published=tuple(published(options.protocol, subset.dataset, subset.part, results.name)),
    )


def _frame_lines(
    results: ResultSet, videos: Videos, found: Sequence[Subset], options: EvaluateOptions
) -> Iterator[Line]:
    """Gives what a benchmark of frames would report, with its quirks."""
    frames = benchmark_quirks.Frames(*read_frames(results))
    names = file_stems(results, videos.ids)
    for subset in found:
        chosen = videos.select(subset.chosen)
        measured = {
            "frame": benchmark_quirks.measure_pooled(chosen, frames, options.bootstrap),
            "name": benchmark_quirks.measure_merged(
                chosen, frames, names[subset.chosen], options.bootstrap
            ),
        }
        for unit, figures in measured.items():
            yield Line(
                run=results.name,
                dataset=subset.dataset,
                part=subset.part,
                unit=unit,
                figures=figures,
            )


def _notes(
    sets: Sequence[ResultSet], protocol: Protocol, options: EvaluateOptions
) -> Iterator[str]:
    for results in sets:
        if not results.trained:
            yield f"{results.name}: the model has random weights; its scores mean nothing"
        if not results.finished:
            yield f"{results.name}: the run is not finished; videos are missing"
        if results.unlabelled:
            yield f"{results.name}: {results.unlabelled:,} videos without a label are left out"
        left_out = {one for one in results.videos.dataset if not takes(protocol, one)}
        if left_out:
            some = ", ".join(sorted(left_out))
            yield f"{results.name}: the protocol leaves out {some}"
    if not options.trained_on:
        yield "leaks were not looked for: name the training manifest with --trained-on"
    if not options.threshold_from:
        yield "no balanced accuracy: name validation results with --threshold-from"
