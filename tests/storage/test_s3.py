"""What is special about S3: versions, permissions, and networks that fail."""

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import unquote

import pytest

from mover_ray.errors import ConfigError, LocationError, PreconditionFailed, StorageError
from mover_ray.status import Status
from mover_ray.storage import S3Options, split_object, storage_for, use_s3_options
from mover_ray.storage.node_limit import NodeLimit
from mover_ray.storage.s3 import S3Storage
from tests.fault_proxy import Fault
from tests.s3_server import OWNER, READABLE_BUCKET, READER, S3Server

READY = f"s3://{READABLE_BUCKET}/ready"
DATA = bytes(range(256)) * 12_000


@pytest.fixture
def store(s3):
    return S3Storage(S3Options(pause_s=0.01))


def put(server: S3Server, uri: str, data: bytes) -> None:
    """Stores an object past the proxy."""
    bucket, key = split_object(uri)
    server.client.put_object(Bucket=bucket, Key=key, Body=data)


def failure_of(call) -> StorageError:
    with pytest.raises(StorageError) as raised:
        call()
    return raised.value


class TestVersions:
    def test_a_version_can_be_read_after_it_was_replaced(self, s3, store):
        uri = f"s3://{s3.make_bucket(versions=True)}/video.mp4"
        store.write(uri, b"first")
        first = store.stat(uri)
        store.write(uri, b"second")

        assert first.version_id
        assert store.read(uri, expect=first) == b"first"
        assert store.stat(uri, version_id=first.version_id).size_bytes == len(b"first")
        assert (
            failure_of(lambda: store.read(uri, expect=replace(first, version_id=None))).status
            is Status.CHANGED
        )

    def test_listings_are_paged(self, store, s3_folder):
        names = [f"{s3_folder}/{index:04}" for index in range(1005)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: store.write(name, b""), names))
        assert [info.uri for info in store.list(s3_folder)] == names

    def test_folder_markers_are_no_objects(self, store, s3, s3_folder):
        put(s3, f"{s3_folder}/sub/", b"")
        store.write(f"{s3_folder}/sub/video", b"1")
        assert [info.uri for info in store.list(s3_folder)] == [f"{s3_folder}/sub/video"]

    def test_a_whole_bucket_can_be_listed(self, store):
        assert [info.uri for info in store.list(f"s3://{READABLE_BUCKET}/")] == [READY]


class TestRefusals:
    @pytest.fixture
    def reader(self, s3, monkeypatch):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", READER[1])
        return S3Storage()

    def test_a_reader_may_read_its_bucket_and_no_more(self, reader, s3_folder):
        assert reader.read(READY) == b""
        for call in (
            lambda: reader.write(f"s3://{READABLE_BUCKET}/new", b""),
            lambda: reader.read(f"{s3_folder}/x"),
            lambda: list(reader.list(s3_folder)),
            lambda: reader.stat(f"{s3_folder}/x"),
        ):
            failure = failure_of(call)
            assert failure.status is Status.ACCESS_DENIED
            assert READER[1] not in str(failure)

    def test_a_wrong_secret_says_so(self, s3, monkeypatch):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")
        failure = failure_of(lambda: list(S3Storage().list(f"s3://{READABLE_BUCKET}")))
        assert failure.status is Status.ACCESS_DENIED
        assert "wrong secret key" in str(failure)
        assert "a-wrong-secret" not in f"{failure} {failure.hint}"

    def test_a_wrong_bucket_says_so(self, store):
        failure = failure_of(lambda: list(store.list("s3://no-such-bucket/x")))
        assert failure.status is Status.NOT_FOUND
        assert "no such bucket: `s3://no-such-bucket/x`" in str(failure)
        assert "AWS_ENDPOINT_URL" in (failure.hint or "")

    def test_a_name_that_is_no_bucket_is_not_found(self, store):
        assert failure_of(lambda: store.stat("s3://No_Bucket!/x")).status is Status.NOT_FOUND
        assert failure_of(lambda: store.stat("s3://bucket/")).status is Status.NOT_FOUND

    def test_no_credentials_says_what_to_do(self, s3, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        failure = failure_of(lambda: S3Storage().stat("s3://bucket/x"))
        assert failure.status is Status.ACCESS_DENIED
        assert "AWS_PROFILE" in (failure.hint or "")

    def test_an_endpoint_that_is_not_there_says_so(self, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        store = S3Storage(S3Options(attempts=1))
        failure = failure_of(lambda: store.stat("s3://bucket/x"))
        assert failure.status is Status.FETCH_ERROR
        assert "cannot be reached" in str(failure)
        assert "AWS_ENDPOINT_URL" in (failure.hint or "")

    @pytest.mark.parametrize(
        ("name", "value"), [("AWS_PROFILE", "nobody"), ("AWS_ENDPOINT_URL", "no address")]
    )
    def test_a_set_up_that_makes_no_sense_is_a_location_error(self, monkeypatch, name, value):
        monkeypatch.setenv(name, value)
        with pytest.raises(LocationError, match="S3 is not set up") as raised:
            storage_for("s3://bucket/x")
        assert name in (raised.value.hint or "")

    def test_options_are_checked(self):
        with pytest.raises(ConfigError, match="attempts is too small: `0`"):
            S3Options(attempts=0)

    def test_endpoints_by_name_are_addressed_by_path(self, s3, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://localhost:{s3.port}")
        assert S3Storage().read(READY) == b""


class TestFaults:
    @pytest.fixture
    def uri(self, s3, s3_folder):
        uri = f"{s3_folder}/video.mp4"
        put(s3, uri, DATA)
        return uri

    @pytest.fixture
    def shaky(self, faults):
        """A store behind the proxy, with little patience."""
        return S3Storage(S3Options(read_timeout_s=0.5, pause_s=0.01, attempts=4))

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("cut", value=len(DATA) // 3, times=2),
            Fault("cut", value=0),
            Fault("flip", value=1_000_000),
            Fault("reset"),
            Fault("refuse", times=2),
            Fault("refuse", status=500, code="InternalError"),
            Fault("hang", value=1.5),
        ],
        ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.times}",
    )
    def test_a_fault_that_passes_is_survived(self, shaky, faults, uri, fault):
        faults.inject(replace(fault))
        target = io.BytesIO()
        fetched = shaky.fetch(uri, target)
        assert target.getvalue() == DATA
        assert fetched.sha256 == hashlib.sha256(DATA).hexdigest()
        assert len(faults.requests) == fault.times + 1

    @pytest.mark.parametrize("read", ["read", "read_range"])
    def test_a_cut_body_is_read_again(self, shaky, faults, uri, read):
        faults.inject(Fault("cut", value=10))
        if read == "read":
            assert shaky.read(uri) == DATA
        else:
            assert shaky.read_range(uri, 256, 1000) == DATA[256:1256]
        assert len(faults.requests) == 2

    @pytest.mark.parametrize("bytes_left", [0, 30, 300])
    def test_a_cut_listing_is_asked_for_again(self, shaky, faults, uri, bytes_left):
        folder = uri.rpartition("/")[0]
        faults.inject(Fault("cut", value=bytes_left, times=2))
        assert [info.uri for info in shaky.list(folder)] == [uri]
        assert len(faults.requests) == 3
        faults.inject(Fault("cut", value=bytes_left, times=99))
        assert failure_of(lambda: list(shaky.list(folder))).status is Status.FETCH_ERROR
        assert len(faults.requests) == 4

    def test_a_byte_that_is_always_altered_is_never_handed_over(self, shaky, faults, uri):
        faults.inject(Fault("flip", value=5, times=99))
        failure = failure_of(lambda: shaky.read(uri))
        assert failure.status is Status.FETCH_ERROR
        assert "checksum" in str(failure)

    def test_a_fault_that_stays_ends_after_the_attempts(self, shaky, faults, uri):
        faults.inject(Fault("cut", value=1, times=99))
        assert failure_of(lambda: shaky.read(uri)).status is Status.FETCH_ERROR
        assert len(faults.requests) == 4
        faults.inject(Fault("refuse", times=99))
        hasty = S3Storage(S3Options(attempts=2))
        assert failure_of(lambda: hasty.read(uri)).status is Status.FETCH_ERROR
        assert len(faults.requests) == 2

    def test_an_object_replaced_between_two_tries_is_changed(self, shaky, faults, uri, s3):
        expect = shaky.stat(uri)

        class Replacing(io.BytesIO):
            def truncate(self, size=None, /):
                put(s3, uri, b"y" * len(DATA))
                return super().truncate(size)

        faults.inject(Fault("cut", value=100))
        failure = failure_of(lambda: shaky.fetch(uri, Replacing(), expect=expect))
        assert failure.status is Status.CHANGED

    @pytest.mark.parametrize("condition", ["if_absent", "if_match"])
    def test_a_write_whose_reply_was_lost_is_known_as_its_own(self, shaky, faults, uri, condition):
        if condition == "if_absent":
            uri, terms = f"{uri}.lease", {"if_absent": True}
        else:
            terms = {"if_match": shaky.stat(uri).etag}
        faults.inject(Fault("lose_reply", method="PUT"))
        etag = shaky.write(uri, b"mine", **terms)
        assert faults.requests == ["PUT", "PUT", "HEAD"]
        assert etag == shaky.stat(uri).etag
        assert shaky.read(uri) == b"mine"

    def test_equal_content_of_another_writer_is_not_its_own(self, shaky, faults, uri):
        storage_for(uri).write(f"{uri}.lease", b"same", if_absent=True)
        with pytest.raises(PreconditionFailed):
            shaky.write(f"{uri}.lease", b"same", if_absent=True)

    def test_a_conflict_is_tried_again(self, shaky, faults, uri):
        conflict = Fault("refuse", method="PUT", status=409, code="ConditionalRequestConflict")
        faults.inject(replace(conflict, times=2))
        shaky.write(f"{uri}.lease", b"mine", if_absent=True)
        assert faults.requests == ["PUT"] * 3
        faults.inject(replace(conflict, times=99))
        failure = failure_of(lambda: shaky.write(f"{uri}.other", b"mine", if_absent=True))
        assert failure.status is Status.FETCH_ERROR
        assert faults.requests == ["PUT"] * 4

    @pytest.mark.parametrize("key", ["a//b", "a/../b", "./a", "%41%2F", "a b+&=?#", "ü/", "/a"])
    def test_keys_are_sent_byte_for_byte(self, shaky, faults, key):
        faults.inject(Fault("refuse", status=404, code="NoSuchKey"))
        assert failure_of(lambda: shaky.read(f"s3://bucket/{key}")).status is Status.NOT_FOUND
        assert [unquote(path) for path in faults.paths] == [f"/bucket/{key}"]

    def test_a_range_of_an_object_of_another_size_is_changed(self, shaky, uri):
        expect = replace(shaky.stat(uri), etag=None, size_bytes=5)
        assert (
            failure_of(lambda: shaky.read_range(uri, 0, 3, expect=expect)).status is Status.CHANGED
        )

    @pytest.mark.parametrize(
        ("status", "code", "word"),
        [
            (403, "InvalidObjectState", Status.ARCHIVED),
            (403, "AccessDenied", Status.ACCESS_DENIED),
            (404, "NoSuchVersion", Status.NOT_FOUND),
            (400, "Unheard", Status.FETCH_ERROR),
        ],
    )
    def test_replies_have_their_words(self, shaky, faults, uri, status, code, word):
        faults.inject(Fault("refuse", status=status, code=code))
        failure = failure_of(lambda: shaky.read(uri))
        assert failure.status is word
        assert "injected" not in str(failure)
        assert uri in str(failure)


class TestCredentials:
    EXPIRED = Fault("refuse", status=400, code="ExpiredToken")

    def test_expired_ones_are_looked_up_again_once(self, s3, s3_folder, faults, monkeypatch):
        uri = f"{s3_folder}/video.mp4"
        put(s3, uri, b"new")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-yesterday")
        store = S3Storage()
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OWNER[1])
        faults.inject(replace(self.EXPIRED))
        assert store.read(uri) == b"new"
        assert len(faults.requests) == 2
        faults.inject(replace(self.EXPIRED, times=99))
        failure = failure_of(lambda: store.read(uri))
        assert failure.status is Status.ACCESS_DENIED
        assert "expired" in str(failure)
        assert len(faults.requests) == 2


class TestLimits:
    @pytest.fixture(autouse=True)
    def taken(self, monkeypatch):
        """Lists what is taken from the machine's limits."""
        amounts = []
        monkeypatch.setattr(NodeLimit, "take", lambda _, amount: amounts.append(amount))
        return amounts

    def test_every_request_counts_those_that_are_repeated_too(self, taken, s3_folder, faults):
        store = S3Storage(S3Options(node_requests_per_s=1000.0, pause_s=0.01))
        store.write(f"{s3_folder}/x", b"1")
        assert taken == [1]
        faults.inject(Fault("refuse", times=2))
        store.read(f"{s3_folder}/x")
        list(store.list(s3_folder))
        assert taken == [1] * 5

    def test_every_byte_counts(self, taken, s3, s3_folder):
        uri = f"{s3_folder}/x"
        put(s3, uri, DATA)
        store = S3Storage(S3Options(node_mib_per_s=1.0))
        store.fetch(uri, io.BytesIO())
        assert sum(taken) == len(DATA)
        assert max(taken) <= 2**20, "a large object is read at the rate, not after it"
        taken.clear()
        store.read_range(uri, 5, 1000)
        assert store.read(uri) == DATA
        assert sum(taken) == 1000 + len(DATA)


def test_the_settings_of_a_process_are_those_of_its_client(s3):
    default = storage_for("s3://bucket/x")
    use_s3_options(S3Options(attempts=2))
    try:
        assert storage_for("s3://bucket/x") is not default
        kept = storage_for("s3://bucket/x")
        use_s3_options(S3Options(attempts=2))
        assert storage_for("s3://bucket/x") is kept
    finally:
        use_s3_options(S3Options())


def test_a_forked_process_makes_its_own_client(s3):
    mine = storage_for("s3://bucket/x")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"same" if storage_for("s3://bucket/x") is mine else b"new")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    os.close(writer)
    assert storage_for("s3://bucket/y") is mine
