"""What S3 and boto3 say when something is wrong, in the words of mover-ray.

Messages carry the error's code and the uri, never what the server wrote: that may
hold account names and signed requests.
"""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from mover_ray.errors import StorageError
from mover_ray.status import Status

_LOG_IN = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or renew the session"
_CHECK_ENDPOINT = "check AWS_ENDPOINT_URL, AWS_REGION and the network"

#: Codes by which AWS says so.
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")

_Meaning = tuple[Status, str, str | None]

#: What went wrong before there was a reply, or while it came; the first that fits counts.
_BY_KIND: tuple[tuple[tuple[type[BotoCoreError], ...], _Meaning], ...] = (
    (
        (
            NoCredentialsError,
            PartialCredentialsError,
            CredentialRetrievalError,
            TokenRetrievalError,
        ),
        (Status.ACCESS_DENIED, "no usable AWS credentials", _LOG_IN),
    ),
    ((ParamValidationError,), (Status.NOT_FOUND, "not a name that S3 allows", None)),
    (
        (FlexibleChecksumError,),
        (Status.FETCH_ERROR, "bytes arrived altered: the checksum is wrong", None),
    ),
    ((ConnectionError,), (Status.FETCH_ERROR, "S3 cannot be reached", _CHECK_ENDPOINT)),
    (
        (HTTPClientError, IncompleteReadError),
        (Status.FETCH_ERROR, "connection to S3 broke off", _CHECK_ENDPOINT),
    ),
)

#: Codes of replies; a reply to HEAD has no body, so its code is the HTTP status.
_BY_CODE: dict[str, _Meaning] = {
    "404": (Status.NOT_FOUND, "no such object", None),
    "NoSuchKey": (Status.NOT_FOUND, "no such object", None),
    "NoSuchVersion": (Status.NOT_FOUND, "no such version of the object", None),
    "NoSuchBucket": (
        Status.NOT_FOUND,
        "no such bucket",
        "check the bucket's name, AWS_REGION and AWS_ENDPOINT_URL",
    ),
    "403": (Status.ACCESS_DENIED, "access denied", None),
    "AccessDenied": (
        Status.ACCESS_DENIED,
        "access denied",
        "the credentials need s3:GetObject and s3:ListBucket, to write also s3:PutObject",
    ),
    "InvalidAccessKeyId": (Status.ACCESS_DENIED, "unknown access key", _LOG_IN),
    "SignatureDoesNotMatch": (Status.ACCESS_DENIED, "wrong secret key", _LOG_IN),
    **dict.fromkeys(EXPIRED, (Status.ACCESS_DENIED, "credentials have expired", _LOG_IN)),
    "RequestTimeTooSkewed": (Status.ACCESS_DENIED, "this machine's clock is wrong", None),
    "412": (Status.CHANGED, "changed since it was listed", None),
    "PreconditionFailed": (Status.CHANGED, "changed since it was listed", None),
    "InvalidObjectState": (Status.ARCHIVED, "archived, must be restored first", None),
    "301": (Status.FETCH_ERROR, "bucket lies in another region", "set AWS_REGION"),
    "PermanentRedirect": (Status.FETCH_ERROR, "bucket lies in another region", "set AWS_REGION"),
}


def error_code(error: BaseException | None) -> str | None:
    """Gives S3's code of a failed request; null if `error` is something else."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return None


def storage_error(
    error: BotoCoreError | ClientError | ResponseParserError, uri: str
) -> StorageError:
    """Gives the `StorageError` that says what `error` means for the object `uri`."""
    status, meaning, hint = _meaning(error)
    return StorageError(status, f"{meaning}: `{uri}`", hint=hint)


def _meaning(error: BotoCoreError | ClientError | ResponseParserError) -> _Meaning:
    if isinstance(error, ClientError):
        code = error_code(error) or ""
        return _BY_CODE.get(code, (Status.FETCH_ERROR, f"S3 refused with {code}", None))
    for kinds, meaning in _BY_KIND:
        if isinstance(error, kinds):
            return meaning
    return Status.FETCH_ERROR, f"S3 request failed with {type(error).__name__}", None
