"""How image sequences are named, and WildDeepfake as it lies."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.datasets import manifest
from mover_ray.datasets.catalog import read_dataset
from mover_ray.datasets.rows import video_id
from mover_ray.datasets.sequences import list_folders, sequence_uri, split_sequence
from mover_ray.datasets.video_names import VIDEO_SUFFIXES
from mover_ray.errors import InputError, StorageError
from mover_ray.schemas import MANIFEST
from mover_ray.status import Status
from mover_ray.storage import ObjectInfo, join, storage_for
from tests.picture_archives import tar, tar_members


@pytest.mark.parametrize("archive", ["/a/b.tar", "s3://b/c!/d.TAR.gz", "memory://b/a b.tgz"])
@given(folder=st.text(max_size=20))
def test_a_name_is_taken_apart_as_it_was_made(archive: str, folder: str) -> None:
    assert split_sequence(sequence_uri(archive, folder)) == (archive, folder)


def test_a_folder_may_look_like_another_archive() -> None:
    assert split_sequence("/a.tar!/b.tar!/c") == ("/a.tar", "b.tar!/c")


@pytest.mark.parametrize("uri", ["/a/b.tar.gz", "/a!/b.mp4", "s3://b/tar!/x", "/a.tar/!/b", ""])
def test_other_names_are_no_sequences(uri: str) -> None:
    assert split_sequence(uri) is None


def plant(root: str, name: str, data: bytes) -> ObjectInfo:
    uri = join(root, name)
    storage_for(uri).write(uri, data)
    return next(info for info in storage_for(uri).list(root) if info.uri == uri)


def archive(number: int, label: str, *sequences: int) -> bytes:
    """An archive with the layout of the release: pictures are empty, names count."""
    names = [f"{number}/{label}/{one}/{frame}.png" for one in sequences for frame in (3, 20)]
    return tar({**dict.fromkeys(names, b""), f"{number}/readme.txt": b""})


@pytest.fixture(params=["disk", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    on_disk = str(tmp_path / "corpus")
    return on_disk if request.param == "disk" else f"memory://archive/{tmp_path.name}/corpus"


def test_wilddeepfake(root: str) -> None:
    test = plant(root, "fake_test/0.tar.gz", archive(0, "fake", 4, 12))
    plant(root, "real_train/0.tar.gz", archive(0, "real", 4))
    plant(root, "real_test/31.tar", tar({"./31/real/1/1.png": b""}, gzipped=False))
    plant(root, "elsewhere/0.tar.gz", archive(0, "real", 5))
    corpus = read_dataset("wilddeepfake", root)
    table = corpus.table()
    assert table.schema.equals(MANIFEST)
    manifest.check_unique(table)
    rows = {row["uri"].partition("corpus/")[2]: row for row in table.to_pylist()}
    assert {name: (row["label"], row["split"]) for name, row in rows.items()} == {
        "fake_test/0.tar.gz!/0/fake/4": ("fake", "test"),
        "fake_test/0.tar.gz!/0/fake/12": ("fake", "test"),
        "real_train/0.tar.gz!/0/real/4": ("real", "train"),
        "real_test/31.tar!/31/real/1": ("real", "test"),
    }
    row = rows["fake_test/0.tar.gz!/0/fake/12"]
    assert row["size_bytes"] == test.size_bytes
    assert row["video_id"] == video_id(row["uri"], test.version)
    assert (row["dataset"], row["method"]) == ("wilddeepfake", "internet")
    assert rows["real_train/0.tar.gz!/0/real/4"]["method"] is None
    unknown = ("identity", "source_id", "pair_uri", "mask_uri")
    assert all(row[name] is None for row in rows.values() for name in unknown)
    assert any("people and original videos are unknown" in remark for remark in corpus.remarks)


def test_a_manifest_of_sequences_is_read_back(root: str) -> None:
    plant(root, "real_test/0.tar.gz", archive(0, "real", 1, 2))
    table = read_dataset("wilddeepfake", root).table()
    uri = join(root, "m.parquet")
    manifest.write(uri, table)
    assert manifest.read(uri).equals(table)
    assert not any(uri.endswith(VIDEO_SUFFIXES) for uri in table["uri"].to_pylist())


def test_wilddeepfake_has_the_counts_of_the_release(tmp_path: Path) -> None:
    root = f"memory://archive/{tmp_path.name}"
    sizes = {"real_train": 3409, "fake_train": 3099, "real_test": 396, "fake_test": 410}
    for part, size in sizes.items():
        names = [f"0/{part[:4]}/{sequence}/1.png" for sequence in range(size)]
        plant(root, f"{part}/0.tar", tar_members(dict.fromkeys(names, b"")) + bytes(1024))
    counts = read_dataset("wilddeepfake", root).counts()
    assert len(counts) == 4
    for count in counts:
        assert count.promised
        assert count.found == count.expected.count


def test_a_damaged_archive_is_left_out_and_named(root: str) -> None:
    plant(root, "real_test/0.tar.gz", archive(0, "real", 1))
    plant(root, "real_test/1.tar.gz", archive(1, "real", 1)[:60])
    corpus = read_dataset("wilddeepfake", root)
    assert len(corpus.videos) == 1
    assert any("corrupt" in one and "real_test/1.tar.gz" in one for one in corpus.remarks)


def test_folders_are_counted_and_a_bomb_is_not_unpacked(root: str) -> None:
    files = {"a/1.png": b"x" * 600, "a/2.jpg": b"", "b/1.jpeg": b"", "b/c/1.txt": b""}
    info = plant(root, "a.tar.gz", tar({**files, "d/1.png": bytes(1 << 20)}))
    assert list_folders(info, 1 << 21) == {"a": 2, "b": 1, "d": 1}
    with pytest.raises(InputError) as caught:
        list_folders(info, 1 << 20)
    assert caught.value.status is Status.TOO_LARGE


def test_too_many_folders_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mover_ray.datasets.sequences.MOST_FOLDERS", 2)
    two = plant(str(tmp_path), "2.tar.gz", archive(0, "real", 1, 2))
    assert len(list_folders(two, 1 << 20)) == 2
    three = plant(str(tmp_path), "3.tar.gz", archive(0, "real", 1, 2, 3))
    with pytest.raises(InputError, match="more than 2 folders"):
        list_folders(three, 1 << 20)


def test_an_archive_that_was_replaced_is_not_listed(tmp_path: Path) -> None:
    uri = f"memory://archive/{tmp_path.name}"
    old = plant(uri, "a.tar.gz", archive(0, "real", 1))
    plant(uri, "a.tar.gz", archive(0, "real", 2))
    with pytest.raises(StorageError, match="changed"):
        list_folders(old, 1 << 20)
