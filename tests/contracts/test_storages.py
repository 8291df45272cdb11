"""What every store must keep, on disk, in memory and on a real S3 server."""

import hashlib
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mover_ray.errors import PreconditionFailed, StorageError
from mover_ray.status import Status
from mover_ray.storage import Storage, join, normalise, storage_for


@dataclass(frozen=True)
class Place:
    """A store and an empty folder in it."""

    storage: Storage
    root: str

    def uri(self, *names: str) -> str:
        return join(self.root, *names)

    def names(self, *folder: str) -> list[str]:
        listed = self.storage.list(self.uri(*folder))
        return [info.uri.removeprefix(self.uri("")) for info in listed]


@pytest.fixture(params=["local", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    root = {"local": str(tmp_path / "store"), "memory": "memory://bucket"}.get(request.param)
    root = normalise(root or request.getfixturevalue("s3_folder"))
    return Place(storage_for(root), root)


def status_of(raised: pytest.ExceptionInfo[StorageError]) -> Status:
    return raised.value.status


def test_what_is_written_is_read(place):
    uri = place.uri("a", "b.bin")
    data = bytes(range(256)) * 5000
    place.storage.write(uri, data)

    assert place.storage.read(uri) == data
    target = io.BytesIO()
    fetched = place.storage.fetch(uri, target)
    assert target.getvalue() == data
    assert fetched.size_bytes == len(data)
    assert fetched.sha256 == hashlib.sha256(data).hexdigest()
    assert fetched.etag == place.storage.stat(uri).etag


def test_empty_objects_are_objects(place):
    uri = place.uri("empty")
    place.storage.write(uri, b"")

    assert place.storage.stat(uri).size_bytes == 0
    assert place.storage.read(uri) == b""
    assert place.storage.read_range(uri, 0, 10) == b""
    assert place.storage.fetch(uri, io.BytesIO()).size_bytes == 0


def test_ranges_end_where_the_object_ends(place):
    uri = place.uri("digits")
    place.storage.write(uri, b"0123456789")

    assert place.storage.read_range(uri, 2, 3) == b"234"
    assert place.storage.read_range(uri, 8, 100) == b"89"
    assert place.storage.read_range(uri, 10, 5) == b""
    assert place.storage.read_range(uri, 3, 0) == b""


def test_fetch_goes_on_where_the_target_stands(place):
    uri = place.uri("part")
    place.storage.write(uri, b"second")
    target = io.BytesIO(b"first ")
    target.seek(0, io.SEEK_END)
    place.storage.fetch(uri, target)
    assert target.getvalue() == b"first second"


def test_fetch_refuses_more_than_the_limit(place):
    uri = place.uri("large")
    place.storage.write(uri, b"x" * 100)
    target = io.BytesIO()
    with pytest.raises(StorageError) as raised:
        place.storage.fetch(uri, target, limit_bytes=99)
    assert status_of(raised) is Status.TOO_LARGE
    assert target.getvalue() == b""
    assert place.storage.fetch(uri, target, limit_bytes=100).size_bytes == 100


def test_missing_objects_are_not_found(place):
    place.storage.write(place.uri("other"), b"")
    uri = place.uri("missing")
    reads: list[Callable[[], object]] = [
        lambda: place.storage.stat(uri),
        lambda: place.storage.read(uri),
        lambda: place.storage.read_range(uri, 0, 1),
        lambda: place.storage.fetch(uri, io.BytesIO()),
        lambda: place.storage.move(uri, place.uri("elsewhere")),
    ]
    for read in reads:
        with pytest.raises(StorageError) as raised:
            read()
        assert status_of(raised) is Status.NOT_FOUND
        assert uri in str(raised.value)


def test_listing_is_deep_sorted_and_keeps_to_its_folder(place):
    for name in ("run1/b", "run1/a/z", "run1/Z", "run10/c", "run1/a/ä"):
        place.storage.write(place.uri(name), name.encode())

    assert place.names("run1") == ["run1/Z", "run1/a/z", "run1/a/ä", "run1/b"]
    assert place.names("run1/") == place.names("run1")
    assert place.names("nothing") == []
    assert place.names("run1", "b") == []


def test_listed_objects_are_what_stat_gives(place):
    uri = place.uri("folder", "video.mp4")
    place.storage.write(uri, b"12345")
    (listed,) = place.storage.list(place.root)
    known = place.storage.stat(uri)
    assert replace(known, version_id=None, storage_class=None) == listed
    assert place.storage.read(uri, expect=listed) == b"12345"


def test_an_object_that_changed_is_not_read(place):
    uri = place.uri("video")
    place.storage.write(uri, b"before")
    listed = next(iter(place.storage.list(place.root)))
    place.storage.write(uri, b"after it")

    reads: list[Callable[[], object]] = [
        lambda: place.storage.read(uri, expect=listed),
        lambda: place.storage.read_range(uri, 0, 1, expect=listed),
        lambda: place.storage.fetch(uri, io.BytesIO(), expect=listed),
    ]
    for read in reads:
        with pytest.raises(StorageError) as raised:
            read()
        assert status_of(raised) is Status.CHANGED


def test_a_wrong_size_is_a_change(place):
    uri = place.uri("video")
    place.storage.write(uri, b"12345")
    expect = replace(place.storage.stat(uri), size_bytes=4, etag=None, version_id=None)
    with pytest.raises(StorageError) as raised:
        place.storage.fetch(uri, io.BytesIO(), expect=expect)
    assert status_of(raised) is Status.CHANGED


def test_writing_if_absent_is_won_once(place):
    uri = place.uri("lease")
    place.storage.write(uri, b"first", if_absent=True)
    with pytest.raises(PreconditionFailed):
        place.storage.write(uri, b"second", if_absent=True)
    assert place.storage.read(uri) == b"first"
    assert place.names() == ["lease"]


def test_writing_if_match_needs_the_present_version(place):
    if place.storage.is_local:
        pytest.skip("a file system has no conditional replace")
    uri = place.uri("lease")
    with pytest.raises(PreconditionFailed):
        place.storage.write(uri, b"none there", if_match="0" * 32)
    first = place.storage.write(uri, b"first")
    second = place.storage.write(uri, b"second", if_match=first)
    assert second == place.storage.stat(uri).etag
    with pytest.raises(PreconditionFailed):
        place.storage.write(uri, b"late", if_match=first)
    assert place.storage.read(uri) == b"second"


def test_moved_objects_are_in_one_place(place):
    place.storage.write(place.uri("results", "1"), b"rows")
    place.storage.write(place.uri("orphans", "1"), b"older")
    place.storage.move(place.uri("results", "1"), place.uri("orphans", "1"))
    assert place.names() == ["orphans/1"]
    assert place.storage.read(place.uri("orphans", "1")) == b"rows"


def test_deleting_twice_is_no_error(place):
    place.storage.write(place.uri("x"), b"")
    place.storage.delete(place.uri("x"))
    place.storage.delete(place.uri("x"))
    assert place.names() == []


@pytest.mark.parametrize("name", ["a b", "%41", "+&=?#", "line\nbreak", "ü", "x" * 200, "*[a]"])
def test_names_are_kept_byte_for_byte(place, name):
    uri = place.uri(name, f"{name}.mp4")
    place.storage.write(uri, name.encode())
    assert [info.uri for info in place.storage.list(place.root)] == [uri]
    assert place.storage.read(uri) == name.encode()
    moved = place.uri(f"moved {name}")
    place.storage.move(uri, moved)
    assert place.storage.read(moved) == name.encode()


def test_a_pickled_store_reads_the_same(place):
    if place.root.startswith("memory:"):
        pytest.skip("memory is not shared between processes")
    place.storage.write(place.uri("x"), b"data")
    again = pickle.loads(pickle.dumps(place.storage))
    assert again.read(place.uri("x")) == b"data"
