"""The demo's archive is what it says, the same for the same seed, and scored as labelled."""

import csv
import dataclasses
import shutil

import av
import cv2
import numpy as np
import pytest

from mover_ray.errors import ConfigError
from mover_ray.operations import demo_clips
from mover_ray.operations.demo import DemoConfig, build_archive, read_rows, run_demo
from mover_ray.operations.demo_clips import ALTERATIONS, Clip, clips, write_clip
from mover_ray.pipelines.progress import Quiet

SHORT_S = 0.4


@pytest.fixture(scope="module")
def short_clips():
    return [dataclasses.replace(clip, seconds=SHORT_S) for clip in clips()]


@pytest.fixture
def short(monkeypatch, short_clips):
    """Clips of ten frames: the demo's own logic at a tenth of its cost."""
    monkeypatch.setattr("mover_ray.operations.demo.clips", lambda: short_clips)


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_dozen_clips_of_every_kind():
    listed = clips()
    assert 12 <= len(listed) <= 15
    assert len({clip.name for clip in listed}) == len(listed)
    assert {clip.method for clip in listed if clip.label == "fake"} == set(ALTERATIONS)
    assert all(clip.method is None for clip in listed if clip.label != "fake")
    assert all(2 <= clip.seconds <= 4 for clip in listed)
    assert sum(clip.truncated for clip in listed) == 1


def test_a_clip_has_the_promised_shape_and_moves(tmp_path):
    clip = Clip(name="a.mp4", label="real", seconds=1.0)
    frames = frames_of(write_clip(clip, tmp_path, seed=0))
    assert len(frames) == demo_clips.FPS
    assert frames[0].shape == (demo_clips.HEIGHT_PX, demo_clips.WIDTH_PX, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 5


def test_same_seed_same_bytes(tmp_path):
    clip = Clip(name="a.mp4", label="fake", method="moved_mouth", seconds=SHORT_S)
    contents = []
    for name, seed in [("one", 3), ("two", 3), ("three", 4)]:
        folder = tmp_path / name
        folder.mkdir()
        contents.append(write_clip(clip, folder, seed).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_a_truncated_clip_cannot_be_opened(tmp_path):
    clip = Clip(name="a.mp4", label=None, seconds=SHORT_S, truncated=True)
    with pytest.raises(av.error.InvalidDataError):
        frames_of(write_clip(clip, tmp_path, seed=0))


@pytest.mark.parametrize("method", ALTERATIONS)
def test_an_alteration_changes_the_face_and_nothing_else(method):
    picture = demo_clips._portrait()
    altered = ALTERATIONS[method](picture, 0.13)
    assert altered.shape == picture.shape
    assert altered.dtype == np.uint8
    changed = np.abs(altered.astype(int) - picture).max(axis=2) > 8
    face = np.zeros(changed.shape, np.uint8)
    cv2.circle(face, (225, 135), 75, 1, thickness=-1)
    assert changed.sum() > 100
    assert not (changed & (face == 0)).any()


def test_labels_are_a_list_that_scoring_can_read(tmp_path, short, short_clips):
    labels = build_archive(tmp_path, seed=0)
    with labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["uri"] for row in rows] == [f"archive/{clip.name}" for clip in short_clips]
    assert all((tmp_path / row["uri"]).is_file() for row in rows)
    assert {row["label"] for row in rows} == {"real", "fake", ""}
    assert not list(tmp_path.rglob("*.part"))


def test_clips_that_are_there_are_kept(tmp_path, short):
    build_archive(tmp_path, seed=0)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "archive").iterdir()}
    removed = tmp_path / "archive" / "real_1.mp4"
    removed.unlink()
    build_archive(tmp_path, seed=0)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "archive").iterdir()}
    assert {path for path in after if after[path] != before[path]} == {removed}


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "mine.mp4").touch()
    with pytest.raises(ConfigError, match="holds something else"):
        run_demo(DemoConfig(out=tmp_path), Quiet())
    assert [path.name for path in tmp_path.rglob("*")] == ["archive", "mine.mp4"]


def test_demo_scores_faces_and_explains_the_rest_and_can_be_repeated(tmp_path, short, monkeypatch):
    monkeypatch.setenv("MOVER_RAY_SCORING__BATCH_SEGMENTS", "2")
    out = tmp_path / "demo"
    first = run_demo(DemoConfig(out=out, engine="local"), Quiet())
    statuses = {row.name: row.status for row in first.rows}
    assert statuses.pop("rocket.mp4") == "no_face"
    assert statuses.pop("broken.mp4") == "corrupt"
    assert set(statuses.values()) == {"ok"}
    for row in first.rows:
        scored = row.status == "ok"
        assert (row.score is not None) == scored
        assert (row.tracks == 1) == scored
        assert (row.error is None) == scored
    assert first.as_json()["rows"][0]["label"] == "real"

    shutil.rmtree(out / "model")
    second = run_demo(DemoConfig(out=out, engine="local"), Quiet())
    assert second.rows == first.rows
    assert read_rows(out / "scores" / "results") == first.rows


def test_another_seed_removes_what_the_old_one_made(tmp_path, short, monkeypatch):
    def stop(options, _progress):
        raise KeyboardInterrupt

    monkeypatch.setattr("mover_ray.operations.demo.score", stop)
    contents = []
    for seed in (0, 0, 1):
        with pytest.raises(KeyboardInterrupt):
            run_demo(DemoConfig(out=tmp_path / "demo", seed=seed), Quiet())
        contents.append((tmp_path / "demo" / "archive" / "real_1.mp4").read_bytes())
    assert contents[0] == contents[1] != contents[2]
