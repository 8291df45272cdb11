"""A file that fills with bytes as they are needed."""

import hashlib
import os
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import StorageError
from mover_ray.status import Status
from mover_ray.video import ranged_object
from mover_ray.video.ranged_object import BLOCK_BYTES, RangedObject

DATA = np.random.default_rng(0).bytes(40 * BLOCK_BYTES + 12_345)


class Store:
    """Gives ranges of `DATA` and remembers which; a wall holds back what lies behind it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.failures: dict[int, Exception] = {}
        self.gate = threading.Event()
        self.gate.set()

    def read(self, start: int, length: int) -> bytes:
        self.asked.append((start, start + length))
        self.gate.wait()
        if start in self.failures:
            raise self.failures[start]
        return DATA[start : start + length]

    @property
    def bytes_asked(self) -> int:
        return sum(stop - start for start, stop in self.asked)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def video(store: Store) -> Iterator[RangedObject]:
    opened = RangedObject(store.read, len(DATA))
    yield opened
    opened.close()


def content(video: RangedObject, start: int, stop: int) -> bytes:
    return os.pread(video.descriptor, stop - start, start)


places = st.integers(0, len(DATA) - 1)


@given(st.lists(st.tuples(places, st.integers(1, 5 * BLOCK_BYTES), st.booleans()), max_size=12))
def test_whatever_is_required_is_there_and_nothing_is_moved_twice(
    steps: list[tuple[int, int, bool]],
) -> None:
    store = Store()
    video = RangedObject(store.read, len(DATA))
    for start, length, planned in steps:
        stop = min(start + length, len(DATA))
        if planned:
            video.plan([(start, stop)])
        until = video.require(start, stop)
        assert stop <= until <= len(DATA)
        assert content(video, start, until) == DATA[start:until]
    video.close()
    assert store.bytes_asked <= len(DATA)
    assert len(set(store.asked)) == len(store.asked)


def test_a_jump_costs_a_block(store: Store, video: RangedObject) -> None:
    for block in (9, 2, 30):
        video.require(block * BLOCK_BYTES + 5, block * BLOCK_BYTES + 50)
    assert video.bytes_moved == store.bytes_asked == 3 * BLOCK_BYTES
    assert video.waited_ms > 0


def test_the_last_block_ends_with_the_object(video: RangedObject) -> None:
    assert video.require(len(DATA) - 1, len(DATA)) == len(DATA)
    assert content(video, len(DATA) - 9, len(DATA) + 9) == DATA[-9:]


def test_reading_on_fetches_ahead_and_in_larger_and_larger_pieces(
    store: Store, video: RangedObject
) -> None:
    for block in range(12):
        video.require(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)
    sizes = [stop - start for start, stop in store.asked]
    assert len(sizes) < 12
    assert max(sizes) >= 4 * BLOCK_BYTES
    assert video.bytes_moved <= 24 * BLOCK_BYTES


def test_a_plan_is_fetched_before_it_is_required_and_nothing_else(
    store: Store, video: RangedObject
) -> None:
    spans = [(BLOCK_BYTES * block, BLOCK_BYTES * block + 10) for block in (3, 11, 12, 13, 20, 35)]
    video.plan(spans)
    wait_for(video, 6 * BLOCK_BYTES)
    asked = list(store.asked)
    for start, stop in spans:
        assert video.require(start, stop) >= stop
    assert store.asked == asked


def test_a_new_plan_replaces_the_old(store: Store, video: RangedObject) -> None:
    store.gate.clear()
    video.plan([(block * BLOCK_BYTES, block * BLOCK_BYTES + 1) for block in range(0, 20, 2)])
    video.plan([(33 * BLOCK_BYTES, 34 * BLOCK_BYTES)])
    store.gate.set()
    video.require(33 * BLOCK_BYTES, 34 * BLOCK_BYTES)
    assert video.bytes_moved < 7 * BLOCK_BYTES


@pytest.mark.parametrize("planned", [True, False])
def test_an_object_of_which_much_is_needed_is_read_whole(
    planned: bool, store: Store, video: RangedObject
) -> None:
    assert video.sha256() is None
    if planned:
        video.plan([(0, len(DATA) // 2 + BLOCK_BYTES)])
    else:
        for block in range(21):
            video.require(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)
    wait_for(video, len(DATA))
    for _ in range(2000):  # the last bytes are hashed after they are counted
        if video.sha256() is not None:
            break
        threading.Event().wait(0.005)
    assert video.sha256() == hashlib.sha256(DATA).hexdigest()
    assert store.bytes_asked == len(DATA)


def wait_for(video: RangedObject, bytes_moved: int) -> None:
    for _ in range(2000):
        if video.bytes_moved >= bytes_moved:
            return
        threading.Event().wait(0.005)
    pytest.fail(f"{video.bytes_moved} bytes came, {bytes_moved} were expected")


def test_a_failure_reaches_who_needs_the_bytes_and_nobody_else(
    store: Store, video: RangedObject
) -> None:
    store.failures[BLOCK_BYTES] = StorageError(Status.FETCH_ERROR, "no luck")
    video.plan([(BLOCK_BYTES, 2 * BLOCK_BYTES)])
    assert video.require(0, 1) >= BLOCK_BYTES
    with pytest.raises(StorageError, match="no luck"):
        video.require(BLOCK_BYTES, BLOCK_BYTES + 1)
    store.failures.clear()
    video.require(BLOCK_BYTES, BLOCK_BYTES + 1)
    assert content(video, BLOCK_BYTES, BLOCK_BYTES + 1) == DATA[BLOCK_BYTES : BLOCK_BYTES + 1]


def test_fewer_bytes_than_asked_for_are_an_error() -> None:
    video = RangedObject(lambda start, length: DATA[start : start + length - 1], len(DATA))
    with pytest.raises(StorageError, match="65535 bytes came instead of 65536") as caught:
        video.require(0, 1)
    assert caught.value.status is Status.FETCH_ERROR
    video.close()


def test_a_bug_reaches_who_needs_the_bytes(store: Store, video: RangedObject) -> None:
    store.failures = {block * BLOCK_BYTES: ZeroDivisionError("a bug") for block in range(50)}
    video.plan([(0, len(DATA))])
    with pytest.raises(ZeroDivisionError, match="a bug"):
        video.require(0, 1)
    assert len(store.asked) < 10


@pytest.mark.skipif(sys.platform != "linux", reason="the disk is full on Linux only")
def test_a_full_disk_is_a_fetch_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    reading = os.open(os.devnull, os.O_RDONLY)
    monkeypatch.setattr(ranged_object, "_make_file", lambda _: (full, reading))
    video = RangedObject(store.read, len(DATA))
    with pytest.raises(StorageError, match="No space left on device") as caught:
        video.require(0, 1)
    assert caught.value.status is Status.FETCH_ERROR
    video.close()


def test_threads_that_need_the_same_bytes_fetch_them_once(
    store: Store, video: RangedObject
) -> None:
    store.gate.clear()
    threads = [threading.Thread(target=video.require, args=(0, 100)) for _ in range(4)]
    for thread in threads:
        thread.start()
    store.gate.set()
    for thread in threads:
        thread.join()
    assert store.asked == [(0, BLOCK_BYTES)]


def test_bytes_that_come_after_the_end_go_nowhere(store: Store) -> None:
    video = RangedObject(store.read, len(DATA))
    store.gate.clear()
    thread = threading.Thread(target=video.require, args=(0, 100))
    thread.start()
    while not store.asked:
        threading.Event().wait(0.005)
    number = video.descriptor
    video.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    store.gate.set()
    thread.join()
    assert video.bytes_moved == 0


def test_the_file_has_no_name_and_cannot_be_written(video: RangedObject) -> None:
    assert os.fstat(video.descriptor).st_nlink == 0
    assert os.fstat(video.descriptor).st_size == len(DATA)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(video.descriptor, b"x", 0)
