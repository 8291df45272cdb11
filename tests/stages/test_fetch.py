"""A video's bytes, and every way in which they are not to be had."""

import hashlib
import os
from pathlib import Path

import pytest

from mover_ray.datasets import manifest as manifests
from mover_ray.errors import InputError, StorageError
from mover_ray.stages.base import Row
from mover_ray.stages.fetch import fetched, reachable
from mover_ray.status import Status
from mover_ray.storage import join, storage_for
from mover_ray.video.ranged_object import BLOCK_BYTES, RangedObject
from tests.fault_proxy import Fault, FaultProxy

BYTES = bytes(range(256)) * 400
PLENTY = 1 << 30


def row_of(path: Path) -> Row:
    return dict(manifests.build(str(path)).table.to_pylist()[0])


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    path.write_bytes(BYTES)
    return path


def status_of(row: Row, max_bytes: int = PLENTY) -> Status:
    with pytest.raises(InputError) as caught, fetched(row, max_bytes):
        pytest.fail("the video was handed out")
    return caught.value.status


def test_a_local_video_is_read_in_place_and_hashed(video: Path) -> None:
    with fetched(row_of(video), PLENTY) as got:
        assert os.pread(got.descriptor, len(BYTES) + 1, 0) == BYTES
        assert os.fstat(got.descriptor).st_ino == video.stat().st_ino
        assert got.sha256 == hashlib.sha256(BYTES).hexdigest()
        assert got.size_bytes == len(BYTES)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(got.descriptor)


def test_a_stored_video_goes_through_a_file_without_a_name(tmp_path: Path) -> None:
    uri = f"memory://bucket/{tmp_path.name}/a.mp4"
    storage_for(uri).write(uri, BYTES)
    with fetched(_stored_row(uri), PLENTY) as got:
        assert os.pread(got.descriptor, len(BYTES) + 1, 0) == BYTES
        assert os.fstat(got.descriptor).st_nlink == 0
        assert got.sha256 == hashlib.sha256(BYTES).hexdigest()


def _stored_row(uri: str) -> Row:
    return dict(manifests.build(uri).table.to_pylist()[0])


def test_a_full_disk_is_a_fetch_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"memory://bucket/{tmp_path.name}/a.mp4"
    storage_for(uri).write(uri, BYTES)
    with Path("/dev/full").open("r+b", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full)
        assert status_of(_stored_row(uri)) is Status.FETCH_ERROR


def test_a_stored_video_that_was_replaced_is_changed(tmp_path: Path) -> None:
    uri = f"memory://bucket/{tmp_path.name}/a.mp4"
    storage_for(uri).write(uri, BYTES)
    row = _stored_row(uri)
    storage_for(uri).write(uri, BYTES[::-1])
    assert status_of(row) is Status.CHANGED
    storage_for(uri).delete(uri)
    assert status_of(row) is Status.NOT_FOUND


def test_a_video_that_was_touched_or_grew_is_changed(video: Path) -> None:
    row = row_of(video)
    os.utime(video, ns=(1, 1))
    assert status_of(row) is Status.CHANGED
    video.write_bytes(BYTES + b"more")
    os.utime(video, ns=(row["mtime_ns"], row["mtime_ns"]))
    assert status_of(row) is Status.CHANGED


def test_what_is_gone_forbidden_too_large_or_no_file_says_so(video: Path) -> None:
    row = row_of(video)
    assert status_of(row, len(BYTES) - 1) is Status.TOO_LARGE
    video.unlink()
    assert status_of(row) is Status.NOT_FOUND
    os.mkfifo(video)
    assert status_of(row) is Status.UNSUPPORTED
    video.unlink()
    video.mkdir()
    assert status_of(row) is Status.UNSUPPORTED


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_video_that_may_not_be_read_is_access_denied(video: Path) -> None:
    row = row_of(video)
    video.chmod(0)
    assert status_of(row) is Status.ACCESS_DENIED


class TestReachable:
    """A large object is read by ranges, anything else whole."""

    @pytest.fixture(autouse=True)
    def low_threshold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mover_ray.stages.fetch.WHOLE_BELOW_BYTES", len(LARGE))

    def test_a_local_video_is_whole(self, video: Path) -> None:
        video.write_bytes(LARGE)
        with reachable(row_of(video), PLENTY) as got:
            assert isinstance(got.bytes, int)
            assert (got.bytes_read, got.waited_ms) == (len(LARGE), 0)
            assert got.sha256() == hashlib.sha256(LARGE).hexdigest()

    @pytest.mark.parametrize("known", [True, False])
    def test_a_small_object_is_whole(self, known: bool, s3_folder: str) -> None:
        row = _put(s3_folder, LARGE[:-1])
        with reachable(row if known else _bare(row), PLENTY) as got:
            assert isinstance(got.bytes, int)
            assert got.sha256() == hashlib.sha256(LARGE[:-1]).hexdigest()

    @pytest.mark.parametrize("known", [True, False])
    def test_of_a_large_object_only_what_is_needed_is_read(
        self, known: bool, s3_folder: str
    ) -> None:
        row = _put(s3_folder, LARGE)
        with reachable(row if known else _bare(row), PLENTY) as got:
            video = got.bytes
            assert isinstance(video, RangedObject)
            assert (got.bytes_read, got.sha256()) == (0, None)
            until = video.require(100, 200)
            assert os.pread(video.descriptor, until - 100, 100) == LARGE[100:until]
            assert got.bytes_read == BLOCK_BYTES
            assert got.waited_ms > 0
            assert got.sha256() is None
            video.require(0, len(LARGE))
            assert got.sha256() == hashlib.sha256(LARGE).hexdigest()
            number = video.descriptor
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)

    @pytest.mark.parametrize("known", [True, False])
    def test_all_ranges_are_of_one_version(self, known: bool, s3_folder: str) -> None:
        row = _put(s3_folder, LARGE)
        with reachable(row if known else _bare(row), PLENTY) as got:
            assert isinstance(got.bytes, RangedObject)
            got.bytes.require(0, 1)
            _put(s3_folder, LARGE[::-1])
            with pytest.raises(StorageError) as caught:
                got.bytes.require(3 * BLOCK_BYTES, 3 * BLOCK_BYTES + 1)
        assert caught.value.status is Status.CHANGED

    def test_too_large_and_missing_ones_are_refused_before_anything_is_read(
        self, s3_folder: str, faults: FaultProxy
    ) -> None:
        row = _put(s3_folder, LARGE)
        faults.inject(Fault("refuse", times=0))
        with pytest.raises(InputError, match="the limit is 1000"), reachable(row, 1000):
            pytest.fail("the video was handed out")
        assert faults.requests == []
        storage_for(row["uri"]).delete(row["uri"])
        with pytest.raises(InputError, match="no such object"), reachable(_bare(row), PLENTY):
            pytest.fail("the video was handed out")


LARGE = bytes(range(256)) * 1024 * 2


def _put(folder: str, data: bytes) -> Row:
    uri = join(folder, "a.mp4")
    storage_for(uri).write(uri, data)
    return _stored_row(uri)


def _bare(row: Row) -> Row:
    """Gives the row of a list that names nothing but the object."""
    return {**row, "etag": None, "size_bytes": None, "mtime_ns": None}
