"""Results are held against the truth without the mistakes that benchmarks make."""

import csv
import json
from collections.abc import Sequence

import numpy as np
import pytest

from mover_ray.datasets import manifest as manifests
from mover_ray.errors import ConfigError, LocationError
from mover_ray.evaluation.bootstrap import BootstrapConfig
from mover_ray.evaluation.metrics import roc_auc
from mover_ray.evaluation.report import Line
from mover_ray.operations.evaluate import EvaluateOptions, evaluate, write
from mover_ray.operations.result_sets import read_frames, read_result_set
from mover_ray.pipelines.destination import Destination, part_name
from mover_ray.pipelines.parts import encode
from tests.evaluation.made import manifest_of, result_table, video, videos, write_results

FEW = BootstrapConfig(draws=50)
MANIPULATIONS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


def run(*results: str, **more) -> dict[tuple[str, str, str, str], Line]:
    options = EvaluateOptions(results=results, **{"bootstrap": FEW, **more})
    lines = evaluate(options).report.lines
    return {(line.run, line.dataset, line.part, line.unit): line for line in lines}


def forged(scores: dict[str, float], **more) -> list:
    """One video of each manipulation under one file name, and its original."""
    frames = {method: [score] * 3 for method, score in scores.items()}
    return [
        video(
            f"{method or 'youtube'}/000",
            "fake" if method else "real",
            score,
            method=method or None,
            dataset="faceforensics-c23",
            faces=[face(frames[method])],
            **more,
        )
        for method, score in scores.items()
    ]


def face(scores: Sequence[float | None], track: int = 0) -> dict:
    frames = [
        {"frame_index": i, "time_s": i / 25, "box": [0, 0, 1, 1], "score": score}
        for i, score in enumerate(scores)
    ]
    return {"track_id": track, "score": 0.5, "first_s": 0, "last_s": 1, "frames": frames}


def test_each_manipulation_stands_against_all_reals(tmp_path) -> None:
    rows = [*videos(30, 20, prefix="a", method="X"), *videos(0, 10, prefix="b", method="Y", seed=3)]
    found = run(write_results(tmp_path / "r", rows))
    x, every = found["r", "toy", "X", "video"].figures, found["r", "toy", "", "video"].figures
    assert (x.fakes, x.reals) == (20, 30)
    assert (every.fakes, every.reals) == (30, 30)
    scores = np.array([row["score"] for row in rows[:50]])
    expected = roc_auc(np.array([row["label"] == "fake" for row in rows[:50]]), scores)
    assert x.metrics["auc"].value == pytest.approx(expected, abs=1e-6)


def test_four_manipulations_of_one_name_stay_four_videos(tmp_path) -> None:
    scores = {"": 0.3, "Deepfakes": 0.9, "Face2Face": 0.8, "FaceSwap": 0.2, "NeuralTextures": 0.1}
    dest = write_results(tmp_path / "r", forged(scores))
    figures = run(dest)["r", "faceforensics-c23", "", "video"].figures
    assert (figures.fakes, figures.scored) == (4, 5)
    assert figures.metrics["auc"].value == pytest.approx(0.5)

    # The benchmark makes two videos of the five: the original has the fakes' name, too.
    quirky = run(dest, protocol="deepfakebench")
    merged = quirky["r", "faceforensics-c23", "", "name"].figures
    assert merged.fakes + merged.reals == 1
    assert quirky["r", "faceforensics-c23", "", "frame"].figures.scored == 15


def test_frames_take_their_most_suspicious_face_and_no_null(tmp_path) -> None:
    row = video("a", "fake", 0.9, faces=[face([0.1, None, 0.3]), face([0.2, None, 0.1], 1)])
    results = read_result_set(write_results(tmp_path / "r", [row], parts=1))
    ids, scores = read_frames(results)
    assert set(ids) == {results.table["video_id"][0].as_py()}
    np.testing.assert_allclose(scores, [0.2, 0.3], rtol=1e-6)


def test_a_failed_video_is_reported_and_never_half_in_silence(tmp_path) -> None:
    rows = [*videos(20, 20), video("x", "fake", None), video("y", "real", None, status="corrupt")]
    figures = run(write_results(tmp_path / "r", rows))["r", "toy", "", "video"].figures
    assert figures.unscored == {"corrupt": 1, "no_face": 1}
    assert figures.scored == 40
    assert figures.coverage == pytest.approx(40 / 42)
    labels = np.array([row["label"] == "fake" for row in rows])
    filled = np.array([0.5 if row["score"] is None else row["score"] for row in rows])
    assert figures.metrics["auc_all"].value == pytest.approx(roc_auc(labels, filled), abs=1e-6)
    assert figures.metrics["auc"].value != figures.metrics["auc_all"].value


def test_only_the_asked_split_is_measured(tmp_path) -> None:
    rows = [*videos(5, 5), *videos(7, 7, prefix="t", split="train")]
    rows += videos(3, 3, prefix="u", split=None, dataset="undivided")
    found = run(write_results(tmp_path / "r", rows))
    assert found["r", "toy", "", "video"].figures.reals == 5
    assert found["r", "undivided", "", "video"].figures.reals == 3


def test_the_later_attempt_counts_before_a_run_is_finished(tmp_path) -> None:
    rows = [video("a", "real", 0.1), video("b", "fake", 0.2)]
    dest = write_results(tmp_path / "r", rows, finished=False, parts=1)
    again = [video("a", "real", 0.1), video("b", "fake", 0.7)]
    destination = Destination(dest, "results")
    accepted = [{"name": part_name(1, 0)}]
    identity = {"command": "score", "model": "a" * 64}
    destination.write_attempt(
        {"attempt": 2, "run_id": "r", "identity": identity, "accepted": accepted}
    )
    table = result_table(manifest_of(again), again, "a" * 64).slice(1)
    destination.storage.write(destination.part_uri(part_name(2, 0)), encode(table))

    read = read_result_set(dest)

    assert not read.finished
    assert sorted(read.videos.scores) == pytest.approx([0.1, 0.7])


def test_material_that_was_trained_on_is_an_error_with_its_names(tmp_path) -> None:
    rows = videos(5, 5)
    dest = write_results(tmp_path / "r", rows)
    path = str(tmp_path / "train.parquet")
    shared = manifest_of([{**rows[0], "split": "train"}])
    manifests.write(path, shared)
    with pytest.raises(ConfigError, match=str(shared["video_id"][0].as_py())):
        run(dest, trained_on=(path,))
    # The same corpus' own test split is no leak.
    manifests.write(path, manifest_of([rows[0], video("else", "real", 0.5, split="train")]))
    run(dest, trained_on=(path,))


def test_a_person_who_was_trained_on_is_an_error(tmp_path) -> None:
    dest = write_results(tmp_path / "r", videos(5, 5, identity="ann+bob"))
    path = str(tmp_path / "train.parquet")
    manifests.write(path, manifest_of([video("z", "real", None, identity="bob", split="val")]))
    with pytest.raises(ConfigError, match="bob"):
        run(dest, trained_on=(path,))


def test_the_threshold_is_fixed_on_validation_videos_of_the_same_model(tmp_path) -> None:
    dest = write_results(tmp_path / "r", videos(50, 50))
    val = write_results(tmp_path / "v", videos(50, 50, prefix="v", split="val", seed=1))
    figures = run(dest, threshold_from=(val,))["r", "toy", "", "video"].figures
    assert 0.6 < figures.metrics["balanced_accuracy"].value < 0.95
    assert "balanced_accuracy" not in run(dest)["r", "toy", "", "video"].figures.metrics
    with pytest.raises(ConfigError, match="split `val`"):
        run(dest, threshold_from=(dest,))
    other = write_results(tmp_path / "o", videos(5, 5, prefix="o", split="val"), model="b" * 64)
    with pytest.raises(ConfigError, match="another model"):
        run(dest, threshold_from=(other,))


def test_a_threshold_from_tested_videos_is_an_error(tmp_path) -> None:
    rows = videos(5, 5, split=None)
    dest = write_results(tmp_path / "r", rows)
    with pytest.raises(ConfigError, match="share 10 videos"):
        run(dest, threshold_from=(dest,))


def test_cross_manipulation_is_four_by_four_beside_the_paper(tmp_path) -> None:
    rows = videos(10, 0, dataset="faceforensics-c23")
    for seed, method in enumerate(MANIPULATIONS):
        rows += videos(0, 10, prefix=method, method=method, dataset="faceforensics-c23", seed=seed)
    rows += videos(3, 3, prefix="other", dataset="dfdc")
    named = []
    for number, method in enumerate(MANIPULATIONS):
        dest = write_results(tmp_path / method, rows, model=str(number) * 64)
        named.append(f"{method}={dest}")
    found = run(*named, protocol="cross-manipulation")
    assert {key[1] for key in found} == {"faceforensics-c23"}
    cells = {key: line for key, line in found.items() if key[2]}
    assert len(cells) == 16
    reported = cells["Deepfakes", "faceforensics-c23", "Face2Face", "video"].published
    assert [one.value for one in reported] == ["86.6"]
    assert not cells["Deepfakes", "faceforensics-c23", "Deepfakes", "video"].published
    with pytest.raises(ConfigError, match="cannot place"):
        run(f"Unknown={tmp_path / 'FaceSwap'}", protocol="cross-manipulation")


def test_cross_dataset_leaves_out_what_was_trained_on_and_says_so(tmp_path) -> None:
    rows = [*videos(5, 5, dataset="faceforensics-c40"), *videos(5, 5, prefix="c", dataset="dfdc")]
    dest = write_results(tmp_path / "r", rows)
    report = evaluate(
        EvaluateOptions(results=(dest,), protocol="cross-dataset", bootstrap=FEW)
    ).report
    assert [line.dataset for line in report.lines] == ["dfdc"]
    assert "75.2" in [one.value for one in report.lines[0].published]
    assert any("leaves out faceforensics-c40" in note for note in report.notes)


def test_missing_faces_are_told_apart_by_coverage(tmp_path) -> None:
    rows = [*videos(5, 5, coverage=1.0), *videos(4, 4, prefix="b", coverage=0.6)]
    found = run(write_results(tmp_path / "r", rows), protocol="missing-faces")
    parts = {key[2]: line.figures.reals for key, line in found.items()}
    assert parts == {"": 9, "95% to 100%": 5, "50% to 75%": 4}


def test_robustness_has_a_curve_and_everything_is_written(tmp_path) -> None:
    named = [
        f"blur-{level}={write_results(tmp_path / str(level), videos(20, 20, seed=level))}"
        for level in (0, 2, 4)
    ]
    options = EvaluateOptions(results=tuple(named), protocol="robustness", bootstrap=FEW)
    written = write(evaluate(options), str(tmp_path / "out"))
    names = {path.name for path in written}
    assert names >= {"report.json", "report.csv", "roc.png", "reliability.png", "robustness.png"}
    assert all(path.stat().st_size > 0 for path in written)
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out" / "report.csv").read_text().splitlines()))
    assert len(rows) == len(document["lines"]) == 3
    assert float(rows[1]["auc"]) == document["lines"][1]["metrics"]["auc"]["value"]


def test_one_kind_alone_has_counts_and_no_figure(tmp_path) -> None:
    dest = write_results(tmp_path / "r", videos(6, 0))
    figures = run(dest)["r", "toy", "", "video"].figures
    assert (figures.reals, figures.metrics) == (6, {})


def test_unlabelled_videos_are_counted_and_labels_may_come_later(tmp_path) -> None:
    rows = videos(5, 5)
    bare = [{**row, "label": None} for row in rows]
    dest = write_results(tmp_path / "r", [*bare, video("z", None, 0.5)])
    with pytest.raises(ConfigError, match="no video with a label"):
        run(dest)
    path = str(tmp_path / "truth.parquet")
    manifests.write(path, manifest_of(rows))
    options = EvaluateOptions(results=(dest,), manifest=path, bootstrap=FEW)
    report = evaluate(options).report
    assert report.lines[0].figures.scored == 10
    assert "r: 1 videos without a label are left out" in report.notes


def test_what_is_no_result_is_refused(tmp_path) -> None:
    with pytest.raises(LocationError, match="no results"):
        run(str(tmp_path))
    dest = write_results(tmp_path / "r", videos(2, 2))
    with pytest.raises(ConfigError, match="two results of one name"):
        run(dest, dest)
    with pytest.raises(ConfigError, match="unknown protocol: `intr`") as caught:
        run(dest, protocol="intr")
    assert caught.value.hint == "did you mean `intra`?"
