"""`mover-ray forge` says what it made, and what is wrong with what it was asked."""

import json

import pytest

from mover_ray.operations.demo_clips import Clip, write_clip

QUICK = ("--set", "encoder.preset=ultrafast", "--set", "survey.footage.max_frames=8",
    "--set", "pipeline.workers=1")  # fmt: skip


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    write_clip(Clip(name="a.mp4", label="real", seconds=0.4), folder, seed=0)
    return folder


def test_a_corpus_is_made_counted_and_found_again(mover_ray, source, tmp_path):
    command = ["forge", source, "--out", "out", "--methods", "self_blended", *QUICK]
    made = mover_ray(*command, "--crf", 40)
    assert made.code == 0
    assert ["ok", "2"] in [line.split() for line in made.out.splitlines()]
    assert (tmp_path / "out" / "manipulated_sequences/SelfBlended/c40/videos/000_000.mp4").exists()
    again = json.loads(mover_ray(*command, "--crf", 40, "--json").out)
    assert (again["engine"], again["counts"]) == ("none", {"ok": 2})
    other = mover_ray(*command)
    assert (other.code, "another configuration" in other.error) == (6, True)


def test_a_swap_without_another_person_is_a_failed_row(mover_ray, source):
    ended = mover_ray(
        "forge", source, "--out", "o", "--methods", "faceswap", *QUICK, "--max-failed", 0, "--json"
    )
    assert ended.code == 4
    assert json.loads(ended.out)["counts"] == {"ok": 1, "unsupported": 1}


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["--methods", "face_swap"], 2, "did you mean `faceswap`?"),
        ([], 2, "--methods"),
        (["--methods", "faceswap", "--out", "real/deeper"], 2, "another --out"),
        (["--methods", "faceswap", "--crf", "52"], 2, "forge --help"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    mover_ray, source, tmp_path, arguments, code, hint
):
    ended = mover_ray("forge", source, "--out", "o", *arguments)
    assert ended.code == code
    assert hint in ended.hint
    assert [path.name for path in tmp_path.iterdir()] == ["real"]


def test_an_empty_source_is_not_found(mover_ray, tmp_path):
    (tmp_path / "empty").mkdir()
    ended = mover_ray("forge", "empty", "--out", "o", "--methods", "faceswap")
    assert (ended.code, "no video in the source" in ended.error) == (5, True)
