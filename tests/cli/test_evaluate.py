import json

from tests.evaluation.made import videos, write_results


def test_the_table_stands_beside_the_published_figures(mover_ray, tmp_path):
    dest = write_results(tmp_path / "r", videos(20, 20, dataset="dfdc"))
    shown = mover_ray("evaluate", dest, "--protocol", "cross-dataset", "--draws", 50)
    assert shown.code == 0
    assert "75.2 (1)" in shown.out
    assert "(1) DeepfakeMAE (arXiv 2303.01740), table 1" in shown.out
    assert "leaks were not looked for" in shown.err


def test_json_is_one_document_and_files_are_written(mover_ray, tmp_path):
    dest = write_results(tmp_path / "r", videos(20, 20))
    shown = mover_ray("evaluate", dest, "--out", "report", "--draws", 50, "--json")
    assert json.loads(shown.out) == json.loads((tmp_path / "report/report.json").read_text())
    assert (tmp_path / "report/roc.png").is_file()


def test_quirks_are_named(mover_ray, tmp_path):
    dest = write_results(tmp_path / "r", videos(20, 20))
    shown = mover_ray("evaluate", dest, "--protocol", "deepfakebench", "--draws", 0)
    assert shown.err.count("quirk: ") == 3


def test_a_wrong_protocol_ends_with_a_hint(mover_ray, tmp_path):
    ended = mover_ray("evaluate", tmp_path, "--protocol", "robust")
    assert ended.code == 2
    assert "robustness" in ended.hint


def test_calibrate_refuses_the_test_split(mover_ray, tmp_path):
    ended = mover_ray("models", "calibrate", "b", "--results", "r", "--split", "test")
    assert ended.code == 2
    assert "not calibrated on test data" in ended.error
