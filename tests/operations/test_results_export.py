"""What is exported is what other programs can read, and nothing is lost or doubled."""

import csv
import json

import cv2
import numpy as np
import pytest

from mover_ray.errors import ConfigError, LocationError
from mover_ray.operations.results import most_suspicious, whole_row
from mover_ray.operations.results_export import FORMATS, ExportOptions, export
from tests.made_results import id_of, small_run

ONE, BAD = str(id_of("/a/one.mp4")), str(id_of("/b/=bad.mp4"))


@pytest.fixture
def run(tmp_path):
    return small_run(tmp_path / "run")


def exported(run, out, **options):
    count = export(ExportOptions(results=run, out=out, **options))
    return count, out


def test_top_and_show(run):
    found = most_suspicious(run, 2)
    assert [row["uri"] for row in found.rows] == ["/a/one.mp4", "/b/three.mp4"]
    assert found.rows[0]["video_id"] == ONE
    row = whole_row(run, "/a/one.mp4")
    assert row["masks"][0]["kind"] == "trained"
    assert "png" not in row["masks"][0]


def test_csv_has_a_line_a_video_and_no_formulas(run, tmp_path):
    count, out = exported(run, tmp_path / "x.csv")
    with out.open(encoding="utf-8", newline="") as file:
        rows = {row["video_id"]: row for row in csv.DictReader(file)}
    assert count == len(rows) == 6
    assert float(rows[ONE]["score"]) == pytest.approx(0.9)
    assert json.loads(rows[ONE]["head_scores"]) == {"a": 0.899999976, "b": 0.25}
    assert rows[BAD]["score"] == ""
    assert rows[BAD]["error"] == "'=moov atom not found"


def test_jsonl_holds_faces_and_describes_masks(run, tmp_path):
    _, out = exported(run, tmp_path / "x.jsonl", format="jsonl", min_score=0.5)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {row["video_id"] for row in rows} == {ONE, str(id_of("/b/three.mp4"))}
    assert rows[0]["faces"][0]["frames"][0]["box"] == [180, 90, 320, 260]
    assert rows[0]["masks"][0]["box"] == [150, 70, 350, 270]
    assert "png" not in rows[0]["masks"][0]


def test_masks_are_files_with_an_index(run, tmp_path):
    count, out = exported(run, tmp_path / "masks", format="masks")
    with (out / "masks.csv").open(encoding="utf-8", newline="") as file:
        index = list(csv.DictReader(file))
    assert count == len(index) == 4
    picture = cv2.imread(str(out / index[0]["file"]), cv2.IMREAD_GRAYSCALE)
    assert np.asarray(picture).shape == (16, 16)
    assert json.loads(index[0]["box"]) == [150, 70, 350, 270]


def test_label_studio_tasks_have_boxes_in_per_cent_and_count_frames_from_1(run, tmp_path):
    _, out = exported(
        run, tmp_path / "t.json", format="label-studio", base_url="http://files.test/v/"
    )
    tasks = {task["data"]["video_id"]: task for task in json.loads(out.read_text())}
    assert len(tasks) == 6
    assert tasks[ONE]["data"]["video"] == "http://files.test/v/one.mp4"
    assert tasks[BAD]["predictions"] == []
    (prediction,) = tasks[ONE]["predictions"]
    verdict, track = prediction["result"]
    assert verdict["value"]["choices"] == ["fake"]
    assert [step["frame"] for step in track["value"]["sequence"]] == [1, 3, 5]
    assert track["value"]["sequence"][0]["x"] == pytest.approx(100 * 180 / 512, abs=1e-3)
    assert track["value"]["sequence"][0]["height"] == pytest.approx(100 * 170 / 384, abs=1e-3)
    assert [step["enabled"] for step in track["value"]["sequence"]] == [True, True, False]


def test_fiftyone_folder_names_each_video_and_its_labels(run, tmp_path):
    _, out = exported(run, tmp_path / "f", format="fiftyone")
    manifest = json.loads((out / "manifest.json").read_text())
    assert len(manifest["index"]) == 6
    entry = next(one for one in manifest["index"] if one["data"] == "/a/one.mp4")
    labels = json.loads((out / entry["labels"]).read_text())
    assert list(labels["frames"]) == ["1", "3", "5"]
    (found,) = labels["frames"]["3"]["objects"]["objects"]
    assert found["bounding_box"]["bottom_right"] == {"x": 320 / 512, "y": 260 / 384}
    assert {"score", "status"} <= {one["name"] for one in labels["attrs"]["attrs"]}


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_is_overwritten(run, tmp_path, form):
    (tmp_path / "there").touch()
    with pytest.raises(ConfigError, match="destination exists"):
        ExportOptions(results=run, out=tmp_path / "there", format=form)


def test_a_wrong_format_and_a_place_that_cannot_be_written(run, tmp_path):
    with pytest.raises(ConfigError, match="unknown format"):
        ExportOptions(results=run, out=tmp_path / "x", format="xml")
    (tmp_path / "file").touch()
    with pytest.raises(LocationError, match="cannot be written"):
        exported(run, tmp_path / "file" / "x.csv")
