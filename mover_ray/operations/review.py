"""The review loop: the videos that the model is least sure of to people, their words back."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mover_ray.config import check_at_least, check_choice
from mover_ray.datasets import manifest as manifests
from mover_ray.errors import ConfigError, LocationError
from mover_ray.operations.results_label_studio import LABELING_CONFIG, TASK_COLUMNS, VERDICT, task
from mover_ray.pipelines.results import Results, open_results
from mover_ray.status import Status
from mover_ray.storage import normalise

ORDERS: Final = ("uncertain", "disagreement", "suspicious")

_LABELS = ("real", "fake")
_TASKS_AT_ONCE = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewOptions:
    """What `review export` was asked to do."""

    results: str
    """Destination of `score`."""
    out: Path
    """Folder to make: `tasks.json` and `labeling.xml`."""
    limit: int = 100
    """How many videos people are asked about."""
    order: str = "uncertain"
    """`uncertain` (scores next to 0.5 first), `disagreement` of the model's heads, or
    `suspicious` (the highest scores first)."""
    base_url: str | None = None
    """What stands before each file's name in its address."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "limit", 1)
        check_choice(self, "order", ORDERS)
        if self.out.exists():
            raise ConfigError(
                f"the destination exists: `{self.out}`", hint="name a new one with --out"
            )


@dataclass(frozen=True, slots=True)
class Imported:
    """What came back from people."""

    labelled: int
    """Videos in the manifest that was written."""
    counts: dict[str, int]
    """Those by label, and the others by the reason why they are not in it."""


def export_tasks(options: ReviewOptions) -> int:
    """Writes tasks of Label Studio for the videos most worth a look; gives their number.

    Raises:
        LocationError: There are no results, or `out` cannot be written.
        ConfigError: No video has a score, or heads to disagree.
    """
    results = open_results(options.results)
    chosen = _choose(results, options)
    if not chosen:
        raise ConfigError(
            f"no video to ask about in: `{results.destination.base}`",
            hint="only scored videos can be ordered; `disagreement` needs a model with two heads",
        )
    try:
        options.out.mkdir(parents=True)
        (options.out / "labeling.xml").write_text(LABELING_CONFIG, encoding="utf-8")
        with (options.out / "tasks.json").open("x", encoding="utf-8") as file:
            for number, one in enumerate(_tasks(results, chosen, options.base_url)):
                file.write(",\n" if number else "[\n")
                json.dump(one, file, ensure_ascii=False)
            file.write("\n]\n")
    except OSError as error:
        raise LocationError(f"cannot be written: `{options.out}`: {error}") from error
    return len(chosen)


def import_labels(labels: Path, dest: str, out: str, *, split: str | None = None) -> Imported:
    """Makes a manifest of the videos that people have judged.

    Args:
        labels: What Label Studio exported: JSON or JSON-MIN.
        dest: Destination of `score` that the tasks came from.
        out: Manifest to write.
        split: Put into the column `split`; None leaves what is there.

    Raises:
        ConfigError: It is no such export, or nobody has judged a video of these results.
        LocationError: There are no results.
    """
    results = open_results(dest)
    manifest = results.destination.read_manifest()
    if manifest is None:
        raise LocationError(f"the run has no manifest: `{results.destination.base}`")
    verdicts, counts = _settle(_read_verdicts(labels))
    known = set(manifest["video_id"].to_pylist())
    counts["not in the results"] += sum(video not in known for video in verdicts)
    verdicts = {video: label for video, label in verdicts.items() if video in known}
    if not verdicts:
        raise ConfigError(
            f"no video of these results is judged in: `{labels}`",
            hint="export from Label Studio as JSON, from the project that got the tasks",
        )
    manifests.write(normalise(out), _labelled(manifest, verdicts, split))
    counts.update(verdicts.values())
    return Imported(len(verdicts), {name: count for name, count in counts.items() if count})


def _choose(results: Results, options: ReviewOptions) -> list[int]:
    """Gives the ids, the one most worth a look first; eight bytes a video are in memory."""
    tables = [
        _ranked(rows, options.order)
        for rows in results.tables(("video_id", "status", "score", "disagreement"))
    ]
    ranked = pa.concat_tables(tables)
    order = pc.sort_indices(ranked, sort_keys=[("worth", "descending"), ("video_id", "ascending")])
    chosen: list[int] = ranked["video_id"].take(order[: options.limit]).to_pylist()
    return chosen


def _ranked(rows: pa.Table, order: str) -> pa.Table:
    rows = rows.filter(pc.field("status") == str(Status.OK))
    worth = {
        "uncertain": pc.negate(pc.abs(pc.subtract(rows["score"], pa.scalar(0.5, pa.float32())))),
        "disagreement": rows["disagreement"],
        "suspicious": rows["score"],
    }[order]
    ranked = pa.table({"video_id": rows["video_id"], "worth": worth})
    return ranked.filter(pc.is_valid(ranked["worth"]))


def _tasks(results: Results, ids: list[int], base_url: str | None) -> Iterator[dict[str, Any]]:
    for start in range(0, len(ids), _TASKS_AT_ONCE):
        some = ids[start : start + _TASKS_AT_ONCE]
        for row in results.take(some, TASK_COLUMNS):
            yield task(row, base_url)


def _read_verdicts(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Gives each task's video and what each person said of it."""
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LocationError(f"cannot be read: `{path}`: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"not an export of Label Studio: `{path}`: {error}") from error
    if not isinstance(tasks, list):
        raise ConfigError(f"not an export of Label Studio: `{path}`: no list of tasks")
    for number, one in enumerate(tasks):
        try:
            data = one.get("data", one)  # JSON-MIN has the task's data beside the answers
            yield int(data["video_id"]), _answers(one)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"task {number} is none of `review export`: `{path}`: no {error}",
                hint="a task carries `video_id` in its data",
            ) from error


def _answers(one: Mapping[str, Any]) -> list[str]:
    if "annotations" not in one:
        return [one[VERDICT]] if one.get(VERDICT) else []
    answers = []
    for annotation in one["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        for item in annotation["result"]:
            if item.get("from_name") == VERDICT:
                answers += item["value"]["choices"]
    return answers


def _settle(said: Iterable[tuple[int, list[str]]]) -> tuple[dict[int, str], Counter[str]]:
    """Gives a label to each video that people agree on, and counts the others."""
    by_video: dict[int, list[str]] = {}
    for video, answers in said:
        by_video.setdefault(video, []).extend(answers)
    settled: dict[int, str] = {}
    others: Counter[str] = Counter()
    for video, answers in by_video.items():
        label = answers[0] if len(set(answers)) == 1 else None
        if label in _LABELS:
            settled[video] = label
        elif not answers:
            others["not judged"] += 1
        else:
            others["unsure" if label else "people disagree"] += 1
    return settled, others


def _labelled(manifest: pa.Table, verdicts: Mapping[int, str], split: str | None) -> pa.Table:
    wanted = pa.array(list(verdicts), pa.int64())
    rows = manifest.filter(pc.is_in(manifest["video_id"], value_set=wanted))
    labels = [verdicts[video] for video in rows["video_id"].to_pylist()]
    rows = _replace(rows, "label", labels)
    return rows if split is None else _replace(rows, "split", [split] * len(rows))


def _replace(rows: pa.Table, name: str, values: list[str]) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, pa.array(values, pa.string()))
