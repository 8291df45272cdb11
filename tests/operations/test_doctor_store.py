"""The doctor tries what a run does at a store, and finds each thing that a store does wrong."""

import pytest

from mover_ray.errors import PreconditionFailed, StorageError
from mover_ray.operations import doctor_store
from mover_ray.operations.doctor_check import FAIL, OK, WARN
from mover_ray.operations.doctor_store import check_store
from mover_ray.status import Status
from mover_ray.storage.base import ObjectInfo
from tests.s3_server import READABLE_BUCKET, READER

NOW_NS = 1_000_000_000_000


class FaultyStore:
    """A store in memory that can be told to do one thing wrong."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.objects: dict[str, bytes] = {}
        self.mtime_ns = NOW_NS

    def _refuse(self, step: str) -> None:
        if self.fault == f"no {step}":
            raise StorageError(Status.ACCESS_DENIED, f"{step} is denied")

    def list(self, _uri):
        self._refuse("list")
        return iter(())

    def write(self, uri, data, *, if_absent=False, if_match=None):
        self._refuse("write")
        there = uri in self.objects
        if if_absent and there and self.fault != "ignores If-None-Match":
            raise PreconditionFailed(Status.CHANGED, "it is there")
        if if_match and self.fault != "ignores If-Match":
            raise PreconditionFailed(Status.CHANGED, "it is another")
        self.objects[uri] = data
        return "etag"

    def read(self, uri):
        self._refuse("read")
        return b"noise" if self.fault == "noise" else self.objects[uri]

    def stat(self, uri):
        if uri not in self.objects:
            raise StorageError(Status.NOT_FOUND, "gone")
        return ObjectInfo(uri, 5, mtime_ns=self.mtime_ns)

    def delete(self, uri):
        self._refuse("delete")
        if self.fault != "keeps":
            self.objects.pop(uri, None)


@pytest.fixture
def store(monkeypatch):
    made = FaultyStore()
    monkeypatch.setattr(doctor_store, "storage_for", lambda _: made)
    monkeypatch.setattr("time.time", lambda: NOW_NS / 1e9)
    return made


def test_a_good_store_passes_and_keeps_nothing(store):
    assert check_store("s3://results/run7").level == OK
    assert not store.objects


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no list", "cannot list"),
        ("no write", "cannot write"),
        ("no read", "cannot read"),
        ("no delete", "cannot"),
        ("noise", "cannot read"),
        ("keeps", "still there"),
        ("ignores If-None-Match", "If-None-Match"),
        ("ignores If-Match", "If-Match"),
    ],
)
def test_each_fault_is_found_and_named(store, fault, words):
    store.fault = fault
    check = check_store("s3://results/run7")
    assert check.level == FAIL
    assert words in check.found
    if fault.startswith("no "):
        assert "rights" in (check.hint or "")


@pytest.mark.parametrize(("ahead_s", "level"), [(-60, FAIL), (-10, WARN), (2, OK), (31, FAIL)])
def test_a_clock_that_differs_from_the_stores_is_found(store, ahead_s, level):
    store.mtime_ns = NOW_NS - ahead_s * 10**9
    assert check_store("s3://results/run7").level == level


@pytest.mark.cluster
def test_a_real_store_passes_with_its_owners_key_and_fails_with_a_readers(
    s3, s3_folder, monkeypatch
):
    from mover_ray import storage

    assert check_store(s3_folder).level == OK
    assert not list(storage.storage_for(s3_folder).list(s3_folder))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", READER[1])
    storage.forget_clients()
    check = check_store(f"s3://{READABLE_BUCKET}/run7")
    assert check.level == FAIL
    assert "cannot write" in check.found
