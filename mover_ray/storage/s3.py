"""Objects of S3 and of the stores that speak its language, by boto3.

Endpoint, region and credentials come from where boto3 looks for them
(`AWS_ENDPOINT_URL`, profiles, instance roles). boto3 repeats requests that fail; what
it does not repeat is repeated here: a body that was cut or whose checksum is wrong,
and a conditional write that met another one.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.parsers import ResponseParserError

from mover_ray.errors import PreconditionFailed, StorageError
from mover_ray.status import Status
from mover_ray.storage.base import (
    CHUNK_BYTES,
    Fetched,
    ObjectInfo,
    OnSkip,
    check_limit,
    check_size,
    copy_hashed,
)
from mover_ray.storage.s3_client import S3Client
from mover_ray.storage.s3_errors import error_code, storage_error
from mover_ray.storage.s3_listing import bare_etag, list_objects, whole_seconds_ns
from mover_ray.storage.s3_options import S3Options
from mover_ray.storage.uris import as_folder, split_object

#: What a body that does not arrive whole and right raises while it is read.
_BAD_BODY = (HTTPClientError, IncompleteReadError, FlexibleChecksumError)

#: Metadata by which a writer knows its own object after the reply was lost.
_WRITER = "mover-ray-writer"

T = TypeVar("T")


class S3Storage:
    """`Storage` under `s3://bucket/key`. Threads may share it; a pickle connects anew."""

    is_local = False

    def __init__(self, options: S3Options | None = None) -> None:
        """Sets the client up; nothing is sent yet.

        Raises:
            LocationError: The profile, the region or the endpoint makes no sense.
        """
        self._options = options or S3Options()
        self._client = S3Client(self._options)

    def __reduce__(self) -> tuple[type["S3Storage"], tuple[S3Options]]:
        """Crosses process borders as its options: connections cannot."""
        return type(self), (self._options,)

    def stat(self, uri: str, *, version_id: str | None = None) -> ObjectInfo:
        """Asks for the headers of the object."""
        with _translated(uri):
            head = self._client.call("head_object", **_address(uri, version_id))
        return ObjectInfo(
            uri,
            head["ContentLength"],
            bare_etag(head["ETag"]),
            head.get("VersionId"),
            whole_seconds_ns(head["LastModified"]),
            head.get("StorageClass"),
        )

    def list(self, prefix: str, *, on_skip: OnSkip | None = None) -> Iterator[ObjectInfo]:
        """Asks for several folders at once; empty `folder/` markers are left out."""
        del on_skip  # every other key holds an object
        bucket, key = split_object(prefix)
        with _translated(prefix):
            yield from list_objects(self._client, bucket, as_folder(key) if key else "")

    def read(self, uri: str, *, expect: ObjectInfo | None = None) -> bytes:
        """Gets the whole object; its checksum is compared where S3 sends one."""

        def whole(response: Mapping[str, Any]) -> bytes:
            check_size(uri, response["ContentLength"], expect)
            return b"".join(self._chunks(response["Body"]))

        return self._get(uri, _pinned(uri, expect), whole)

    def read_range(
        self, uri: str, start: int, length: int, *, expect: ObjectInfo | None = None
    ) -> bytes:
        """Gets a piece; no store sends a checksum for one."""
        if length == 0:
            return b""
        self._pay(length)
        request = {**_pinned(uri, expect), "Range": f"bytes={start}-{start + length - 1}"}

        def piece(response: Mapping[str, Any]) -> bytes:
            if "ContentRange" not in response:
                raise StorageError(Status.FETCH_ERROR, f"ranges are not served: `{uri}`")
            check_size(uri, int(response["ContentRange"].rpartition("/")[2]), expect)
            return bytes(response["Body"].read())

        try:
            return self._get(uri, request, piece)
        except StorageError as error:
            if error_code(error.__cause__) in ("InvalidRange", "416"):
                return b""
            raise

    def fetch(
        self,
        uri: str,
        target: BinaryIO,
        *,
        expect: ObjectInfo | None = None,
        limit_bytes: int | None = None,
    ) -> Fetched:
        """Streams the object; a body that was cut or altered on the way starts over."""
        begin = target.tell()

        def copied(response: Mapping[str, Any]) -> Fetched:
            check_size(uri, response["ContentLength"], expect)
            check_limit(uri, response["ContentLength"], limit_bytes)
            target.seek(begin)
            target.truncate()
            size_bytes, sha256 = copy_hashed(self._chunks(response["Body"]), target)
            return Fetched(size_bytes, sha256, bare_etag(response["ETag"]))

        return self._get(uri, _pinned(uri, expect), copied)

    def write(
        self, uri: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        """Puts the object in one request, at most 5 GiB."""
        request = {**_address(uri), "Body": data}
        if not if_absent and if_match is None:
            with _translated(uri):
                return bare_etag(self._client.call("put_object", **request)["ETag"])
        if if_absent:
            request["IfNoneMatch"] = "*"
        if if_match is not None:
            request["IfMatch"] = f'"{if_match}"'
        with _translated(uri):
            return self._put_on_condition(uri, request)

    def move(self, source: str, target: str) -> None:
        """Copies within the store, then deletes: a reader may see both for a moment."""
        bucket, key = split_object(source)
        with _translated(source):
            self._client.call(
                "copy_object", **_address(target), CopySource={"Bucket": bucket, "Key": key}
            )
            self._client.call("delete_object", **_address(source))

    def delete(self, uri: str) -> None:
        """Deletes the object; in a bucket with versions the older ones stay."""
        with _translated(uri):
            self._client.call("delete_object", **_address(uri))

    def _chunks(self, body: Any) -> Iterator[bytes]:
        """Gives a body piece by piece, no faster than this machine may read."""
        for chunk in body.iter_chunks(CHUNK_BYTES):
            self._pay(len(chunk))
            yield chunk

    def _pay(self, size_bytes: int) -> None:
        if self._client.byte_limit is not None:
            self._client.byte_limit.take(size_bytes)

    def _get(
        self, uri: str, request: Mapping[str, Any], consume: Callable[[Mapping[str, Any]], T]
    ) -> T:
        """Gets an object and consumes its body, again from the start if that fails."""
        for attempt in range(1, self._options.attempts + 1):
            with _translated(uri):
                response = self._client.call("get_object", **request)
            with contextlib.closing(response["Body"]):
                try:
                    return consume(response)
                except _BAD_BODY as error:
                    failure = error
            self._client.pause(attempt, uri, failure)
        raise storage_error(failure, uri) from failure

    def _put_on_condition(self, uri: str, request: Mapping[str, Any]) -> str:
        """Puts; tells its own write from another's when the reply was lost on the way."""
        token = secrets.token_hex(16)
        for attempt in range(1, self._options.attempts + 1):
            try:
                put = self._client.call("put_object", **request, Metadata={_WRITER: token})
                return bare_etag(put["ETag"])
            except ClientError as error:
                code = error_code(error)
                if code in ("PreconditionFailed", "NoSuchKey"):
                    return self._etag_if_own(uri, token)
                if code != "ConditionalRequestConflict":
                    raise
                failure = error
            self._client.pause(attempt, uri, failure)
        raise failure

    def _etag_if_own(self, uri: str, token: str) -> str:
        lost = PreconditionFailed(Status.CHANGED, f"exists already or is another version: `{uri}`")
        try:
            head = self._client.call("head_object", **_address(uri))
        except ClientError as error:
            if error_code(error) == "404":
                raise lost from error
            raise
        if head["Metadata"].get(_WRITER) != token:
            raise lost
        return bare_etag(head["ETag"])


@contextlib.contextmanager
def _translated(uri: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise storage_error(error, uri) from error


def _address(uri: str, version_id: str | None = None) -> dict[str, Any]:
    bucket, key = split_object(uri)
    version = {} if version_id is None else {"VersionId": version_id}
    return {"Bucket": bucket, "Key": key, **version}


def _pinned(uri: str, expect: ObjectInfo | None) -> dict[str, Any]:
    request = _address(uri, expect.version_id if expect else None)
    if expect is not None and expect.etag is not None:
        request["IfMatch"] = f'"{expect.etag}"'
    return request
