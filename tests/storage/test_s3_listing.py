"""Listings: every key once and in order, however the folders lie, with few requests."""

import threading
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.storage import storage_for
from mover_ray.storage.s3 import S3Storage
from mover_ray.storage.s3_listing import list_objects

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


class Bucket:
    """Answers `ListObjectsV2` from a set of keys, a small page at a time."""

    def __init__(self, keys, page_keys=10, pause_s=0.0):
        self.keys = sorted(keys)
        self.page_keys = page_keys
        self.pause_s = pause_s
        self.requests: Counter[str] = Counter()
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def list_objects_v2(self, *, Bucket, Prefix, Delimiter=None, ContinuationToken=""):
        with self._lock:
            self.requests["folders" if Delimiter else "keys"] += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.pause_s)
        with self._lock:
            self.at_once -= 1
        names = {}
        for key in self.keys:
            rest = key.removeprefix(Prefix)
            if key.startswith(Prefix) and key > ContinuationToken:
                below = Delimiter is not None and "/" in rest
                names[Prefix + rest.partition("/")[0] + "/" if below else key] = below
        page = list(names.items())[: self.page_keys]
        more = {"NextContinuationToken": page[-1][0]} if len(names) > len(page) else {}
        return {
            "IsTruncated": bool(more),
            "Contents": [
                {"Key": key, "Size": len(key), "ETag": f'"{key}"', "LastModified": NOW}
                for key, below in page
                if not below
            ],
            "CommonPrefixes": [{"Prefix": name} for name, below in page if below],
            **more,
        }


def listed(bucket: Bucket, prefix: str = "") -> list[str]:
    uris = [info.uri for info in list_objects(bucket, "b", prefix)]
    return [uri.removeprefix("s3://b/") for uri in uris]


NAMES = st.lists(st.sampled_from(["a", "b", "b-", "ü", "", "%41", "c d"]), min_size=1, max_size=4)


@given(st.sets(NAMES.map("/".join).filter(bool), max_size=120), st.integers(6, 12))
def test_every_key_comes_once_and_in_order(keys, page_keys):
    assert listed(Bucket(keys, page_keys)) == sorted(keys)


@given(st.sets(NAMES.map("/".join).filter(bool), max_size=60))
def test_a_prefix_gives_what_lies_below_it(keys):
    assert listed(Bucket(keys), "b/") == sorted(key for key in keys if key.startswith("b/"))


def test_facts_of_an_object_are_those_of_its_headers():
    (info,) = list_objects(Bucket(["x/y"]), "b", "x/")
    assert (info.uri, info.size_bytes, info.etag) == ("s3://b/x/y", 3, "x/y")
    assert info.mtime_ns == int(NOW.timestamp()) * 10**9
    assert (info.version_id, info.storage_class) == (None, None)


def test_a_small_prefix_costs_one_request():
    bucket = Bucket([f"a/{i}" for i in range(10)])
    listed(bucket)
    assert bucket.requests == {"keys": 1}


def test_folders_are_listed_side_by_side():
    keys = [f"archive/2024/{day:02}/{i:03}" for day in range(6) for i in range(50)]
    bucket = Bucket(keys, pause_s=0.005)
    assert listed(bucket, "archive/") == keys
    assert bucket.most_at_once > 4
    assert bucket.requests.total() <= 6 * 6 + 5


def test_many_small_folders_are_not_asked_for_one_by_one():
    keys = sorted(f"{i:04}/video.mp4" for i in range(300))
    bucket = Bucket(keys)
    assert listed(bucket) == keys
    assert bucket.requests == {"keys": 30}


def test_more_folders_than_a_page_are_listed_as_one():
    keys = [f"{folder:02}/{i:02}" for folder in range(12) for i in range(20)]
    bucket = Bucket(keys)
    assert listed(bucket) == keys
    assert bucket.requests == {"keys": 24, "folders": 1}


def test_who_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    bucket = Bucket([f"{day:02}/{i:03}" for day in range(8) for i in range(500)])
    infos = list_objects(bucket, "b", "")
    assert next(infos).uri == "s3://b/00/000"
    infos.close()
    assert threading.active_count() == before
    assert bucket.requests.total() < 30


def test_what_waits_for_its_turn_is_bounded(monkeypatch):
    monkeypatch.setattr("mover_ray.storage.s3_listing._OBJECTS_AHEAD", 100)
    keys = [f"{day:02}/{i:03}" for day in range(8) for i in range(200)]
    bucket = Bucket(keys)
    infos = list_objects(bucket, "b", "")
    next(infos)
    assert bucket.requests.total() < 30
    assert [info.uri for info in infos] == [f"s3://b/{key}" for key in keys][1:]


def test_a_refused_folder_ends_the_listing():
    class Refuses(Bucket):
        def list_objects_v2(self, **request):
            if request["Prefix"] == "03/":
                raise ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjectsV2")
            return super().list_objects_v2(**request)

    with pytest.raises(ClientError, match="AccessDenied"):
        listed(Refuses([f"{day:02}/{i:03}" for day in range(5) for i in range(50)]))


@pytest.mark.cluster
def test_a_real_server_gives_every_key_of_a_split_prefix(s3, s3_folder):
    names = [f"{s3_folder}/deep/{day}/{i:04}" for day in "abc" for i in range(500)]
    bucket = names[0].split("/")[2]
    for name in names:
        key = name.removeprefix(f"s3://{bucket}/")
        s3.client.put_object(Bucket=bucket, Key=key, Body=b"")
    assert [info.uri for info in storage_for(s3_folder).list(s3_folder)] == names


@pytest.mark.cluster
def test_the_requester_pays_where_the_environment_says_so(faults, s3_folder, monkeypatch):
    monkeypatch.setenv("MOVER_RAY_REQUESTER_PAYS", "1")
    headers = []
    store = S3Storage()
    events = store._client.boto3.meta.events
    events.register("before-send.s3", lambda request, **_: headers.append(request.headers))
    store.write(f"{s3_folder}/a", b"1", if_absent=True)
    store.read(f"{s3_folder}/a")
    store.stat(f"{s3_folder}/a")
    assert len(list(store.list(s3_folder))) == 1
    store.delete(f"{s3_folder}/a")
    assert len(headers) == 5
    assert {each["x-amz-request-payer"] for each in headers} == {b"requester"}
