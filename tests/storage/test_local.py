import errno
import io
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mover_ray.errors import PreconditionFailed, StorageError
from mover_ray.status import Status
from mover_ray.storage import LocalStorage, join, normalise
from mover_ray.storage.local import TEMPORARY_PREFIX

store = LocalStorage()


@pytest.fixture
def permissions(tmp_path):
    """Skips where nothing is forbidden: the superuser may read everything."""
    probe = tmp_path / "probe"
    probe.touch(mode=0)
    readable = os.access(probe, os.R_OK)
    probe.unlink()
    if readable:
        pytest.skip("nothing is forbidden to this user")


def refused(uri: str) -> Status:
    """Gives the status with which all ways of reading refuse `uri`."""
    statuses = set()
    for read in (store.stat, store.read, lambda uri: store.fetch(uri, io.BytesIO())):
        with pytest.raises(StorageError) as raised:
            read(uri)
        statuses.add(raised.value.status)
    (status,) = statuses
    return status


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def list_all(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Gives names below `folder`, and reasons by name of what is passed over."""
    skipped: dict[str, str] = {}
    infos = store.list(str(folder), on_skip=skipped.__setitem__)
    names = [info.uri.removeprefix(f"{folder}/") for info in infos]
    return names, {uri.removeprefix(f"{folder}/"): reason for uri, reason in skipped.items()}


@pytest.mark.timeout(20)
def test_pipes_sockets_devices_and_folders_are_refused_at_once(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # a socket's path may have 108 bytes at most
        listener.bind("socket")
        (tmp_path / "folder").mkdir()
        for name in ("pipe", "socket", "folder"):
            assert refused(str(tmp_path / name)) is Status.UNSUPPORTED
    assert refused("/dev/zero") is Status.UNSUPPORTED


def test_names_that_cannot_be_are_not_found(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("missing", "file/below", "loop", "x" * 300, "zero\0byte"):
        assert refused(f"{tmp_path}/{name}") is Status.NOT_FOUND


@pytest.mark.usefixtures("permissions")
def test_forbidden_files_are_access_denied(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    secret.chmod(0)
    with pytest.raises(StorageError) as raised:
        store.read(str(secret))
    assert raised.value.status is Status.ACCESS_DENIED
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError) as raised:
        store.write(str(tmp_path / "new"), b"x")
    tmp_path.chmod(0o700)
    assert raised.value.status is Status.ACCESS_DENIED


def test_a_touched_file_is_changed_even_at_the_same_size(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"12345")
    before = store.stat(str(path))
    os.utime(path, ns=(1, 1))
    with pytest.raises(StorageError) as raised:
        store.read(str(path), expect=before)
    assert raised.value.status is Status.CHANGED


class Meddler(io.BytesIO):
    """A target during whose first write the source is altered."""

    def __init__(self, source: Path, content: bytes) -> None:
        super().__init__()
        self.source, self.content = source, content

    def write(self, chunk, /):
        self.source.write_bytes(self.content)
        return super().write(chunk)


@pytest.mark.parametrize("content", [b"", b"short", b"y" * (3 << 20), b"z" * (4 << 20)])
def test_a_file_that_changes_while_it_is_read_is_changed(tmp_path, content):
    path = tmp_path / "growing.mp4"
    path.write_bytes(b"x" * (3 << 20))
    os.utime(path, ns=(1, 1))
    with pytest.raises(StorageError) as raised:
        store.fetch(str(path), Meddler(path, content))
    assert raised.value.status is Status.CHANGED


def test_writing_replaces_the_whole_file_and_leaves_nothing_behind(tmp_path):
    uri = f"{tmp_path}/new/deep/result.parquet"
    store.write(uri, b"long content")
    version = store.write(uri, b"short")
    assert Path(uri).read_bytes() == b"short"
    assert version == store.stat(uri).version
    assert names_in(tmp_path / "new" / "deep") == ["result.parquet"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    uri = f"{tmp_path}/result.parquet"
    store.write(uri, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device") as raised:
        store.write(uri, b"new")
    assert raised.value.status is Status.FETCH_ERROR
    assert store.read(uri) == b"old"
    assert names_in(tmp_path) == ["result.parquet"]


def test_unfinished_files_are_invisible_to_parquet_readers(tmp_path, monkeypatch):
    seen = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        seen.append(self.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    store.write(f"{tmp_path}/result.parquet", b"")
    assert len(seen) == 1
    assert seen[0].startswith(TEMPORARY_PREFIX)
    assert not seen[0].endswith(".parquet")


def test_new_files_have_the_permissions_that_the_user_wants(tmp_path):
    mask = os.umask(0o027)
    try:
        store.write(f"{tmp_path}/file", b"")
    finally:
        os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_file_is_not_replaced_on_condition(tmp_path):
    with pytest.raises(StorageError) as raised:
        store.write(f"{tmp_path}/file", b"", if_match="5:1")
    assert raised.value.status is Status.UNSUPPORTED
    assert names_in(tmp_path) == []


def test_files_have_no_version_ids(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as raised:
        store.stat(str(tmp_path / "file"), version_id="3")
    assert raised.value.status is Status.NOT_FOUND


def test_listing_is_in_the_order_of_keys(tmp_path):
    for name in ("a/z", "a.txt", "a0", "b"):
        store.write(join(str(tmp_path), name), b"")
    assert list_all(tmp_path)[0] == ["a.txt", "a/z", "a0", "b"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    archive = tmp_path / "archive"
    (archive / "sub").mkdir(parents=True)
    (archive / "sub" / "a.mp4").write_bytes(b"1")
    (archive / "link.mp4").symlink_to("sub/a.mp4")
    (archive / "linked").symlink_to("sub")
    (archive / "sub" / "up").symlink_to(archive)

    names, skipped = list_all(archive)
    assert names == ["link.mp4", "linked/a.mp4", "sub/a.mp4"]
    assert skipped == dict.fromkeys(["linked/up", "sub/up"], "link to a folder above it")


def test_what_is_no_file_is_passed_over_with_its_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "broken.mp4").symlink_to("nowhere")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "video.mp4").write_bytes(b"")

    names, skipped = list_all(tmp_path)
    assert names == ["video.mp4"]
    assert skipped.keys() == {"pipe.mp4", "broken.mp4", "loop.mp4"}
    assert skipped["pipe.mp4"] == "not a regular file"
    assert skipped["broken.mp4"].startswith("file not readable: No such file")


def test_without_a_listener_a_skip_is_a_warning(tmp_path, caplog):
    (tmp_path / "broken.mp4").symlink_to("nowhere")
    assert list(store.list(str(tmp_path))) == []
    assert "broken.mp4" in caplog.text


@pytest.mark.usefixtures("permissions")
def test_forbidden_folders_are_passed_over_with_their_reason(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a").write_bytes(b"")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    names, skipped = list_all(tmp_path)
    closed.chmod(0o700)
    assert names == ["open/a"]
    assert skipped == {"closed": "folder not readable: Permission denied"}


def test_names_that_are_not_utf8_are_listed_and_read(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"\xff.mp4")).write_bytes(b"data")
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    (info,) = store.list(str(tmp_path))
    assert info.uri == f"file://{tmp_path}/%FF.mp4"
    assert normalise(info.uri) == info.uri
    assert store.read(info.uri, expect=info) == b"data"


class TestWithoutHardLinks:
    """As on FAT, on SMB and on most file systems in user space."""

    @pytest.fixture(autouse=True, params=[errno.EPERM, errno.EOPNOTSUPP])
    def no_links(self, request, monkeypatch):
        def refuse(*_):
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(Path, "hardlink_to", refuse)

    def test_a_name_is_won_once(self, tmp_path):
        store, uri = LocalStorage(), str(tmp_path / "new")
        store.write(uri, b"first", if_absent=True)
        with pytest.raises(PreconditionFailed):
            store.write(uri, b"second", if_absent=True)
        assert store.read(uri) == b"first"
        assert [path.name for path in tmp_path.iterdir()] == ["new"]

    def test_of_many_writers_one_wins(self, tmp_path):
        def write(number):
            try:
                LocalStorage().write(str(tmp_path / "new"), b"%d" % number, if_absent=True)
            except PreconditionFailed:
                return None
            return number

        with ThreadPoolExecutor(8) as threads:
            winners = [one for one in threads.map(write, range(40)) if one is not None]
        assert len(winners) == 1
        assert (tmp_path / "new").read_bytes() == b"%d" % winners[0]
