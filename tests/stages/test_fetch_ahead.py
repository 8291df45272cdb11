"""The next video is fetched while nobody waits, once, and freed if nobody comes for it."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mover_ray.datasets import manifest as manifests
from mover_ray.errors import InputError
from mover_ray.stages.base import LooksAhead, Row
from mover_ray.stages.faces import FindFaces
from mover_ray.stages.fetch_ahead import FetchAhead
from mover_ray.status import Status
from mover_ray.storage import MemoryStorage, storage_for

PLENTY = 1 << 30


class Watched:
    """Notes which objects are fetched, in which thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetches: list[tuple[str, bool]] = []
        plain = MemoryStorage.fetch

        def fetch(store, uri, *args, **kwargs):
            beside = threading.current_thread() is not threading.main_thread()
            self.fetches.append((uri.rpartition("/")[2], beside))
            return plain(store, uri, *args, **kwargs)

        monkeypatch.setattr(MemoryStorage, "fetch", fetch)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


@pytest.fixture
def ahead() -> Iterator[FetchAhead]:
    ahead = FetchAhead(PLENTY)
    yield ahead
    ahead.close()


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    folder = f"memory://bucket/{tmp_path.name}"
    for number in range(3):
        uri = f"{folder}/{number}.mp4"
        storage_for(uri).write(uri, b"%d" % number * 100)
    return list(manifests.build(folder).table.to_pylist())


def content(ahead: FetchAhead, row: Row) -> bytes:
    with ahead.reachable(row) as video:
        assert isinstance(video.bytes, int)
        assert video.bytes_read == 100
        assert video.sha256() is not None
        return os.pread(video.bytes, 1000, 0)


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_an_expected_video_is_fetched_beside_and_once(
    ahead: FetchAhead, rows: list[Row], watched: Watched
) -> None:
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        if following is not None:
            ahead.expect(following)
        assert content(ahead, row) == row["uri"][-5].encode() * 100
    assert sorted(watched.fetches) == [("0.mp4", False), ("1.mp4", True), ("2.mp4", True)]


def test_one_that_is_asked_for_at_once_is_waited_for(
    ahead: FetchAhead, rows: list[Row], watched: Watched
) -> None:
    ahead.expect(rows[1])
    assert content(ahead, rows[1]) == b"1" * 100
    assert watched.fetches == [("1.mp4", True)]


def test_what_is_expected_lasts_over_the_video_before_it(
    ahead: FetchAhead, rows: list[Row], watched: Watched
) -> None:
    ahead.expect(rows[1])
    assert content(ahead, rows[0]) == b"0" * 100
    assert content(ahead, rows[1]) == b"1" * 100
    assert content(ahead, rows[1]) == b"1" * 100
    assert sorted(watched.fetches) == [("0.mp4", False), ("1.mp4", False), ("1.mp4", True)]


def test_a_failure_is_told_to_whoever_asks(ahead: FetchAhead, rows: list[Row]) -> None:
    storage_for(rows[1]["uri"]).delete(rows[1]["uri"])
    ahead.expect(rows[1])
    assert content(ahead, rows[0]) == b"0" * 100
    with pytest.raises(InputError) as caught:
        content(ahead, rows[1])
    assert caught.value.status is Status.NOT_FOUND


def test_what_nobody_asks_for_is_freed(rows: list[Row]) -> None:
    before = open_descriptors()
    ahead = FetchAhead(PLENTY)
    for row in rows * 5:
        ahead.expect(row)
    ahead.close()
    assert open_descriptors() == before


def test_large_local_and_unknown_ones_are_not_fetched_ahead(
    ahead: FetchAhead,
    rows: list[Row],
    watched: Watched,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local = tmp_path / "a.mp4"
    local.write_bytes(b"local")
    ahead.expect(dict(manifests.build(str(local)).table.to_pylist()[0]))
    ahead.expect({**rows[0], "size_bytes": None})
    ahead.expect({**rows[0], "uri": "unheard://of/a.mp4"})
    monkeypatch.setattr("mover_ray.stages.fetch.WHOLE_BELOW_BYTES", 100)
    ahead.expect(rows[0])
    ahead.close()
    assert watched.fetches == []


def test_the_first_stage_looks_ahead() -> None:
    assert issubclass(FindFaces, LooksAhead)
