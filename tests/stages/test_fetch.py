"""A video's bytes, and every way in which they are not to be had."""

import hashlib
import os
from pathlib import Path

import pytest

from mover_ray.datasets import manifest as manifests
from mover_ray.errors import InputError
from mover_ray.stages.base import Row
from mover_ray.stages.fetch import fetched
from mover_ray.status import Status
from mover_ray.storage import storage_for

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
