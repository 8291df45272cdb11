import os
import shutil
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mover_ray.datasets import manifest
from mover_ray.errors import ConfigError, LocationError
from mover_ray.provenance import sha256_bytes
from mover_ray.schemas import MANIFEST
from mover_ray.storage import join, storage_for


@pytest.fixture(params=["local", "s3"])
def archive(request, tmp_path):
    """The uri of a small archive, on disk and on S3."""
    root = str(tmp_path / "archive") if request.param == "local" else None
    root = root or request.getfixturevalue("s3_folder")
    for name in ("b.mp4", "a/x.MOV", "a/y.mkv", "a/notes.txt", "mp4", "a/.hid.mp4", ".git/z.mp4"):
        storage_for(root).write(join(root, name), name.encode())
    return root


def names(built: manifest.BuiltManifest, root: str) -> list[str]:
    return [uri.removeprefix(f"{root}/") for uri in built.table["uri"].to_pylist()]


def skipped(built: manifest.BuiltManifest, root: str) -> dict[str, str]:
    return {uri.removeprefix(f"{root}/"): reason for uri, reason in built.passed_over.names}


def test_a_folder_gives_its_videos_and_says_what_it_left_out(archive):
    built = manifest.build(archive)
    assert built.table.schema == MANIFEST
    assert names(built, archive) == ["a/x.MOV", "a/y.mkv", "b.mp4"]
    assert built.table["size_bytes"].to_pylist() == [7, 7, 5]
    assert skipped(built, archive) == {
        "a/notes.txt": "not a video's file name",
        "mp4": "not a video's file name",
        "a/.hid.mp4": "hidden",
        ".git/z.mp4": "hidden",
    }


def test_a_slash_at_the_end_changes_nothing(archive):
    assert manifest.build(f"{archive}/").table.equals(manifest.build(archive).table)


def test_a_video_alone_has_the_id_that_it_has_in_its_folder(archive):
    alone = manifest.build(f"{archive}/b.mp4").table
    assert alone.to_pylist() == manifest.build(archive).table.to_pylist()[2:]


def test_a_folder_that_lies_in_a_hidden_one_is_not_hidden(tmp_path):
    video = tmp_path / ".cache" / "a.mp4"
    video.parent.mkdir()
    video.write_bytes(b"")
    assert len(manifest.build(str(video.parent)).table) == 1


def test_building_twice_gives_the_same_and_a_new_version_a_new_id(archive):
    before = manifest.build(archive).table
    assert manifest.build(archive).table.equals(before)
    storage_for(archive).write(f"{archive}/b.mp4", b"another")
    after = manifest.build(archive).table
    changed = [a != b for a, b in zip(before["video_id"], after["video_id"], strict=True)]
    assert changed == [False, False, True]


@pytest.mark.parametrize(
    ("include", "exclude", "kept"),
    [
        (["*.mkv"], [], ["a/y.mkv"]),
        (["a/*"], [], ["a/x.MOV", "a/y.mkv"]),
        ([], ["a/*"], ["b.mp4"]),
        (["?.m*"], ["b*"], ["a/y.mkv"]),
    ],
)
def test_globs_choose_by_name_below_the_source(archive, include, exclude, kept):
    built = manifest.build(archive, include=include, exclude=exclude)
    assert names(built, archive) == kept
    reasons = {"not included", "excluded"}
    assert len([reason for _, reason in built.passed_over.names if reason in reasons]) == 3 - len(
        kept
    )


def test_a_limit_takes_the_first_and_stops_looking(archive):
    built = manifest.build(archive, limit=2)
    assert names(built, archive) == ["a/x.MOV", "a/y.mkv"]


def test_a_sample_is_always_the_same_and_grows_with_its_size(tmp_path):
    for index in range(300):
        (tmp_path / f"{index}.mp4").write_bytes(b"")
        os.utime(tmp_path / f"{index}.mp4", ns=(1, 1))
    shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    tenth, half, everything = (
        set(manifest.build(str(tmp_path), sample=sample).table["video_id"].to_pylist())
        for sample in (0.1, 0.5, 1.0)
    )
    assert tenth < half < everything
    assert 10 <= len(tenth) <= 55
    assert 110 <= len(half) <= 190
    again = manifest.build(str(tmp_path), sample=0.1, limit=5).table
    assert len(again) == 5
    assert set(again["video_id"].to_pylist()) < tenth


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"limit": 0}, "limit is too small: `0`"),
        ({"sample": 0.0}, "sample is out of range: `0.0`"),
        ({"sample": 1.5}, "sample is out of range: `1.5`"),
        ({"include": ["*.none"]}, "nothing is selected of 3 videos"),
    ],
)
def test_selections_that_make_no_sense_are_refused(archive, selection, message):
    with pytest.raises(ConfigError, match=message) as raised:
        manifest.build(archive, **selection)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("text", "fraction"), [("1%", 0.01), ("100%", 1.0), ("0.5", 0.5), (" 12.5% ", 0.125)]
)
def test_samples_are_read(text, fraction):
    assert manifest.parse_sample(text) == fraction


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "1.1", "-1%", "1%%", "nan", "few"])
def test_what_is_no_sample_is_refused(text):
    with pytest.raises(ConfigError, match="not a sample"):
        manifest.parse_sample(text)


class TestSourcesThatAreNot:
    def refused(self, source: str) -> LocationError:
        with pytest.raises(LocationError) as raised:
            manifest.build(source)
        return raised.value

    def test_missing(self, tmp_path):
        assert f"`{tmp_path}/missing`" in str(self.refused(f"{tmp_path}/missing"))

    def test_empty(self, tmp_path, s3_folder):
        for source in (str(tmp_path), s3_folder):
            error = self.refused(source)
            assert f"no video in the source: `{source}`" in str(error)
            assert "empty" in (error.hint or "")

    def test_without_a_video(self, tmp_path):
        (tmp_path / "a.txt").write_bytes(b"")
        assert "1 × not a video's file name" in (self.refused(str(tmp_path)).hint or "")

    def test_wrong_bucket(self, s3):
        error = self.refused("s3://no-such-bucket/videos")
        assert "no such bucket" in str(error)
        assert error.hint

    def test_unknown_scheme(self):
        assert "http://host/a" in str(self.refused("http://host/a"))

    def test_pipe(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.mp4")
        assert "not a regular file" in str(self.refused(f"{tmp_path}/pipe.mp4"))

    def test_nobody_answers(self, monkeypatch):
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        assert "cannot be reached" in str(self.refused("s3://bucket/videos/"))


def test_merging_adds_what_is_new_below_what_is_old(archive):
    old = manifest.build(archive, include=["*.mkv", "b.mp4"]).table
    storage_for(archive).write(f"{archive}/b.mp4", b"another")
    new = manifest.build(archive).table
    merged = manifest.merge(old, new)
    assert merged.slice(0, 2).equals(old)
    assert [uri.rpartition("/")[2] for uri in merged["uri"].to_pylist()] == [
        "y.mkv",
        "b.mp4",
        "x.MOV",
        "b.mp4",
    ]
    assert manifest.merge(merged, new).equals(merged)


def test_a_written_manifest_is_read_as_it_was(archive):
    table = manifest.build(archive).table
    uri = join(archive, manifest.FILE_NAME)
    sha256 = manifest.write(uri, table)
    assert manifest.read(uri).equals(table)
    assert sha256_bytes(storage_for(uri).read(uri)) == sha256
    assert manifest.build(uri).table.equals(table)


def test_a_manifest_with_a_foreign_id_is_refused(tmp_path, archive):
    table = manifest.build(archive).table
    ids = table["video_id"].to_pylist()
    ids[1] += 1
    wrong = table.set_column(0, MANIFEST.field("video_id"), pa.array(ids))
    pq.write_table(wrong, tmp_path / "wrong.parquet")
    with pytest.raises(ConfigError, match="row 2") as raised:
        manifest.build(str(tmp_path / "wrong.parquet"))
    assert "video_id" in (raised.value.hint or "")


def test_a_manifest_that_names_a_video_twice_is_refused(tmp_path, archive):
    table = manifest.build(archive).table
    pq.write_table(pa.concat_tables([table, table.slice(1, 1)]), tmp_path / "twice.parquet")
    for use in (manifest.build, manifest.read):
        with pytest.raises(ConfigError, match=r"named twice: `.*y\.mkv`"):
            use(str(tmp_path / "twice.parquet"))


def test_a_file_that_is_no_manifest_is_refused(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ConfigError, match="not a Parquet file"):
        manifest.read(str(tmp_path / "broken.parquet"))


def test_a_summary_counts(archive):
    built = manifest.build(archive)
    summary = manifest.summarise(built)
    assert summary.videos == 3
    assert summary.size_bytes == 19
    assert summary.unknown_size == 0
    assert summary.by_suffix == {".mov": 1, ".mkv": 1, ".mp4": 1}
    assert summary.by_label == {"": 3}
    assert summary.passed_over == {"not a video's file name": 2, "hidden": 2}
    assert manifest.summarise(manifest.BuiltManifest(MANIFEST.empty_table())).size_bytes == 0


def test_the_shared_videos_are_all_found(data_dir):
    built = manifest.build(str(data_dir), exclude=["faces/*"])
    folders = Counter(name.split("/")[0] for name in names(built, str(data_dir)))
    assert folders == {
        "ffpp": 30,
        "talking": 118,
        "generated": 27,
        "decoder": 80,
    }
