from dataclasses import replace

import pytest

from mover_ray.errors import StorageError
from mover_ray.status import Status
from mover_ray.storage import MemoryStorage, storage_for

URI = "memory://bucket/video"


def test_a_version_can_be_read_after_it_was_replaced():
    store = MemoryStorage()
    store.write(URI, b"first")
    first = store.stat(URI)
    store.write(URI, b"second")

    assert store.read(URI) == b"second"
    assert store.read(URI, expect=first) == b"first"
    assert store.stat(URI, version_id=first.version_id) == first
    store.delete(URI)
    assert store.read(URI, expect=first) == b"first"


def test_a_version_that_never_was_is_not_found():
    store = MemoryStorage()
    store.write(URI, b"data")
    expect = replace(store.stat(URI), version_id="9")
    with pytest.raises(StorageError) as raised:
        store.read(URI, expect=expect)
    assert raised.value.status is Status.NOT_FOUND


def test_the_process_has_one_store():
    storage_for("memory://a/x").write("memory://a/x", b"1")
    assert storage_for("memory://b").read("memory://a/x") == b"1"
