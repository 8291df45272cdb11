"""The command groups do what they say, on files and not on mocks."""

import json

import pyarrow.parquet as pq
import pytest


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.mp4", "b.MKV", "deep/c.mp4"):
        (folder / name).write_bytes(name.encode())
    (folder / "notes.txt").touch()
    return folder


def test_manifest_build_writes_what_show_counts(mover_ray, archive, tmp_path):
    out = tmp_path / "m.parquet"
    built = mover_ray("manifest", "build", archive, "--out", out, "--exclude", "deep/*", "--json")
    assert built.code == 0
    summary = json.loads(built.out)
    assert summary["videos"] == 2 == pq.read_metadata(out).num_rows
    assert sum(summary["passed_over"].values()) == 2
    shown = json.loads(mover_ray("manifest", "show", out, "--json").out)
    assert shown == {**summary, "passed_over": {}}


def test_manifest_build_takes_several_sources(mover_ray, archive, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "d.mp4").write_bytes(b"d")
    arguments = ("manifest", "build", archive, other, "--out", tmp_path / "m.parquet", "--json")
    assert json.loads(mover_ray(*arguments).out)["videos"] == 4


def test_since_must_name_a_finished_run(mover_ray, archive, tmp_path):
    (tmp_path / "run").mkdir()
    arguments = ("extract", archive, "--out", tmp_path / "out", "--since", tmp_path / "run")
    for more in ((), ("--dry-run",)):
        refused = mover_ray(*arguments, *more)
        assert refused.code == 5
        assert f"no finished run at: `{tmp_path / 'run'}`" in refused.err
    assert not (tmp_path / "out").exists()


def test_manifest_show_is_a_table_for_people(mover_ray, archive, tmp_path):
    out = tmp_path / "m.parquet"
    text = mover_ray("manifest", "build", archive, "--out", out).out
    rows = [line.split() for line in text.splitlines()]
    assert ["videos", "3"] in rows
    assert ["suffix", ".mp4", "2"] in rows


def test_limit_and_sample_reach_the_manifest(mover_ray, archive, tmp_path):
    arguments = ["manifest", "build", archive, "--out", tmp_path / "m.parquet"]
    assert json.loads(mover_ray(*arguments, "--limit", 1, "--json").out)["videos"] == 1
    wrong = mover_ray(*arguments, "--sample", "200%")
    assert (wrong.code, "`200%`" in wrong.error) == (2, True)


def test_manifest_dataset_compares_with_what_is_expected(mover_ray, tmp_path):
    part = tmp_path / "corpus" / "dfdc_train_part_0"
    part.mkdir(parents=True)
    for name in ("aa.mp4", "bb.mp4", "stray.mp4"):
        (part / name).write_bytes(name.encode())
    real = {"label": "REAL", "split": "train"}
    listed = {"aa.mp4": real, "bb.mp4": {**real, "label": "FAKE", "original": "aa.mp4"}}
    (part / "metadata.json").write_text(json.dumps({**listed, "gone.mp4": real}))
    arguments = [
        "manifest",
        "dataset",
        "dfdc",
        tmp_path / "corpus",
        "--out",
        tmp_path / "m.parquet",
    ]
    shown = mover_ray(*arguments)
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["train", "fake", "100,000", "1"] in rows
    assert "1 missing: dfdc_train_part_0/gone.mp4" in shown.err
    assert "1 not in the lists: dfdc_train_part_0/stray.mp4" in shown.err
    document = json.loads(mover_ray(*arguments, "--json").out)
    assert document["videos"] == 2 == pq.read_metadata(tmp_path / "m.parquet").num_rows
    assert {"split": "train", "label": "real", "method": None, "expected": 19154, "found": 1} in (
        document["counts"]
    )


def test_manifest_dataset_refuses_an_unknown_name(mover_ray, tmp_path):
    wrong = mover_ray("manifest", "dataset", "celebdf", tmp_path, "--out", tmp_path / "m.parquet")
    assert wrong.code == 2
    assert "did you mean `celebdf-v2`?" in wrong.hint


def test_models_init_show_verify(mover_ray, tmp_path):
    made = mover_ray("models", "init", "mover", "--out", "b", "--set", "branches=['finetuning']")
    assert made.code == 0
    shown = json.loads(mover_ray("models", "show", "b", "--json").out)
    assert shown["trained"] is False
    assert shown["detector_config"]["branches"] == ["finetuning"]
    verified = json.loads(mover_ray("models", "verify", "b", "--json").out)
    assert verified == {"model_sha256": shown["model_sha256"], "verified": True}
    again = mover_ray("models", "init", "mover", "--out", "b")
    assert (again.code, "never overwritten" in again.hint) == (5, True)


def test_an_altered_bundle_is_refused_with_3(mover_ray, tmp_path):
    mover_ray("models", "init", "mover", "--out", "b", "--set", "branches=['finetuning']")
    weights = tmp_path / "b" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    ended = mover_ray("models", "verify", "b")
    assert ended.code == 3
    assert not ended.out


def test_score_refuses_an_untrained_model(mover_ray, archive):
    mover_ray("models", "init", "mover", "--out", "b", "--set", "branches=['finetuning']")
    ended = mover_ray("score", archive, "--out", "o", "--model", "b")
    assert ended.code == 3
    assert "--allow-untrained" in ended.hint


def test_extract_verify_and_damage(mover_ray, archive, tmp_path):
    arguments = ["extract", archive, "--out", "o", "--engine", "local"]
    ended = mover_ray(*arguments, "--json", "--max-failed", 2)
    assert ended.code == 4
    assert "3 videos failed, 2 were allowed" in ended.err
    summary = json.loads(ended.out)
    assert (summary["total"], sum(summary["counts"].values())) == (3, 3)
    again = json.loads(mover_ray(*arguments, "--json").out)
    assert again["counts"] == summary["counts"]

    proved = mover_ray("runs", "verify", "o")
    assert (proved.code, "proved: one row for each of 3 videos" in proved.out) == (0, True)
    next((tmp_path / "o" / "crops").glob("*.parquet")).unlink()
    broken = mover_ray("runs", "verify", "o", "--json")
    assert broken.code == 1
    assert json.loads(broken.out)["proved"] is False
    assert "not proved" in broken.error


def test_dry_run_writes_nothing(mover_ray, archive, tmp_path):
    ended = mover_ray("extract", archive, "--out", "o", "--dry-run", "--json")
    assert ended.code == 0
    found = json.loads(ended.out)
    assert (found["videos"], found["sampled"]) == (3, 3)
    assert not (tmp_path / "o").exists()


def test_doctor_speaks_json_and_people(mover_ray, tmp_path):
    checks = json.loads(mover_ray("doctor", "--json", "--out", tmp_path / "o").out)
    assert {check["level"] for check in checks} <= {"ok", "warn"}
    assert checks[-1]["name"] == "destination"
    assert "hint: the predictor was trained on iBUG" in mover_ray("doctor").out


def test_doctor_fails_with_2(mover_ray, monkeypatch):
    monkeypatch.setattr("mover_ray.operations.doctor.sys.version_info", (3, 10, 0))
    ended = mover_ray("doctor")
    assert ended.code == 2
    assert "Python 3.11, 3.12 or 3.13 is needed" in ended.out
