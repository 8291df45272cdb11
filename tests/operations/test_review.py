"""Questions come in the order of doubt; only answers that people agree on come back."""

import json

import pytest

from mover_ray.datasets import manifest as manifests
from mover_ray.errors import ConfigError, LocationError
from mover_ray.operations.review import ReviewOptions, export_tasks, import_labels
from tests.made_results import failed, id_of, make_results, small_run

TWO, THREE = id_of("/a/two.mp4"), id_of("/b/three.mp4")


@pytest.fixture
def run(tmp_path):
    return small_run(tmp_path / "run")


def names(out):
    return [task["data"]["uri"] for task in json.loads((out / "tasks.json").read_text())]


def answered(video, *choices, cancelled=False):
    def annotation(choice):
        verdict = {"from_name": "verdict", "type": "choices", "value": {"choices": [choice]}}
        other = {"from_name": "box", "type": "videorectangle", "value": {}}
        return {"was_cancelled": cancelled, "result": [other, verdict]}

    return {"data": {"video_id": str(video)}, "annotations": [annotation(one) for one in choices]}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("uncertain", ["/b/three.mp4", "/a/two.mp4"]),
        ("suspicious", ["/a/one.mp4", "/b/three.mp4"]),
        ("disagreement", ["/a/one.mp4", "/b/three.mp4"]),
    ],
)
def test_tasks_are_in_the_order_asked_for(run, tmp_path, order, expected):
    out = tmp_path / "review"
    assert export_tasks(ReviewOptions(results=run, out=out, limit=2, order=order)) == 2
    assert names(out) == expected
    assert 'value="$video"' in (out / "labeling.xml").read_text()


def test_answers_become_a_manifest(run, tmp_path):
    labels = tmp_path / "labels.json"
    tasks = [
        answered(TWO, "fake", "fake"),
        answered(THREE, "real", "fake"),
        answered(id_of("/a/one.mp4"), "unsure"),
        answered(id_of("/b/one.mp4"), "real", cancelled=True),
        answered(99, "real"),
    ]
    labels.write_text(json.dumps(tasks))
    out = tmp_path / "m.parquet"
    found = import_labels(labels, run, str(out), split="val")
    assert found.labelled == 1
    assert found.counts == {
        "fake": 1,
        "people disagree": 1,
        "unsure": 1,
        "not judged": 1,
        "not in the results": 1,
    }
    (row,) = manifests.read(str(out)).to_pylist()
    assert (row["uri"], row["label"], row["split"]) == ("/a/two.mp4", "fake", "val")


def test_the_short_form_of_an_export_is_read_too(run, tmp_path):
    labels = tmp_path / "labels.json"
    short = [{"video_id": str(TWO), "verdict": "real"}, {"video_id": str(THREE)}]
    labels.write_text(json.dumps(short))
    assert import_labels(labels, run, str(tmp_path / "m.parquet")).counts == {
        "real": 1,
        "not judged": 1,
    }


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"data": {}}]', '[{"video_id": "x"}]'])
def test_what_is_no_export_is_refused(run, tmp_path, text):
    labels = tmp_path / "labels.json"
    labels.write_text(text)
    with pytest.raises(ConfigError):
        import_labels(labels, run, str(tmp_path / "m.parquet"))
    assert not (tmp_path / "m.parquet").exists()


def test_where_nothing_can_be_asked_or_read(run, tmp_path):
    with pytest.raises(LocationError, match="cannot be read"):
        import_labels(tmp_path / "none.json", run, str(tmp_path / "m.parquet"))
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(ConfigError, match="is judged"):
        import_labels(tmp_path / "empty.json", run, str(tmp_path / "m.parquet"))
    none = make_results(tmp_path / "none", [[failed("/a.mp4", "no_face", "none")]])
    with pytest.raises(ConfigError, match="no video to ask about"):
        export_tasks(ReviewOptions(results=none, out=tmp_path / "review"))
    with pytest.raises(ConfigError, match="destination exists"):
        ReviewOptions(results=run, out=tmp_path)
