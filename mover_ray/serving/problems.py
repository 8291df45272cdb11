"""Errors as the client sees them: RFC 9457 problem documents without any inner detail."""

import logging
from http import HTTPStatus
from typing import Any, Final

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from mover_ray.errors import ConfigError, LocationError, MoverRayError, StorageError

_logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
#: What the library's errors mean here. Their own words name places of the service.
_REFUSALS: Final[dict[type[MoverRayError], tuple[HTTPStatus, str, str]]] = {
    ConfigError: (HTTPStatus.UNPROCESSABLE_ENTITY, "refused", "the request cannot be met"),
    LocationError: (HTTPStatus.NOT_FOUND, "not_found", "there is nothing there, or not yet"),
    StorageError: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "a store does not answer"),
}


class Problem(HTTPException):
    """A request cannot be answered.

    It is an `HTTPException`, because FastAPI lets no other error through that is raised while
    it reads a body.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Keeps what the client is told.

        Args:
            status: Of the response.
            code: A word that programs go by.
            detail: A sentence for people; nothing about the inside of the service.
            headers: More headers of the response.
        """
        super().__init__(status.value, detail, headers)
        self.code = code


def too_busy(detail: str, retry_after_s: int) -> Problem:
    """Gives the problem of a request that may be sent again a little later."""
    headers = {"Retry-After": str(retry_after_s)}
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "too_busy", detail, headers=headers)


def unavailable(detail: str, retry_after_s: int) -> Problem:
    """Gives the problem of a request that was lost on the service's side."""
    headers = {"Retry-After": str(retry_after_s)}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers=headers)


def not_found(what: str) -> Problem:
    """Gives the problem of something that is not there, or not the client's."""
    return Problem(HTTPStatus.NOT_FOUND, "not_found", f"no such {what}")


def problem_response(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Gives a problem document as a response."""
    document = {
        "type": f"urn:mover-ray:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    return JSONResponse(document, status, headers, MEDIA_TYPE)


async def on_http_error(_request: Request, error: Exception) -> JSONResponse:
    """Answers a `Problem`, or an error that the framework raised."""
    if not isinstance(error, HTTPException) and not hasattr(error, "status_code"):
        raise error
    status: int = error.status_code
    code = error.code if isinstance(error, Problem) else HTTPStatus(status).name.lower()
    headers = getattr(error, "headers", None)
    return problem_response(status, code, str(getattr(error, "detail", "")), headers)


async def on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    """Answers parameters or a body of the wrong form; what was sent is not repeated."""
    faults: list[Any] = list(error.errors()) if isinstance(error, RequestValidationError) else []
    said = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:5])
    return problem_response(422, "invalid_request", said or "the request is not valid")


async def on_user_error(_request: Request, error: Exception) -> JSONResponse:
    """Answers an error of the library that is no bug."""
    known = [kind for kind in _REFUSALS if isinstance(error, kind)]
    if not known:
        raise error
    _logger.warning("refused: %s", error)
    return problem_response(*_REFUSALS[known[0]])
