"""What a request passes before it is routed: pure ASGI, in an order that matters.

Recorder         gives it an id, times it, writes the audit line, hides what went wrong inside
Authentication   401 and 403 before a byte of the body is read
BodyLimit        413 and 408, counted on the stream whatever the headers say
RateLimit        429
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mover_ray.serving.audit import AuditLog, RequestRecord, set_current
from mover_ray.serving.config import LimitsConfig
from mover_ray.serving.identity import Authenticator, Identity
from mover_ray.serving.problems import Problem, problem_response, too_busy

_logger = logging.getLogger(__name__)

RECORD: Final = "mover_ray.record"
IDENTITY: Final = "mover_ray.identity"

#: Paths that anybody may ask for: they say nothing of anybody's videos.
_OPEN: Final = ("/healthz", "/readyz", "/openapi.json")
#: The scope that each path needs; the longest prefix counts, None asks for any valid key.
_SCOPES: Final[dict[str, str | None]] = {
    "/": None,
    "/v1/score": "score",
    "/v1/jobs": "score",
    "/v1/scans": "scan",
    "/v1/results": "results",
    "/metrics": "admin",
}
_BUCKETS: Final = 10_000
#: Not `X-Request-Id`: Serve sends that, and takes it from the client.
_ID_HEADER: Final = b"mover-ray-request-id"

Observer = Callable[[RequestRecord], None]


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(
        problem.status_code, problem.code, problem.detail, dict(problem.headers or {})
    )
    await response(scope, receive, send)


class Recorder:
    """Gives every request an id and a line in the audit log."""

    def __init__(self, app: ASGIApp, audit: AuditLog, observe: Observer) -> None:
        """Takes what is told of every request that was answered."""
        self._app = app
        self._audit = audit
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; an error that nobody foresaw becomes a bare 500."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        client = scope["client"][0] if scope.get("client") else None
        record = RequestRecord(secrets.token_hex(8), scope["method"], scope["path"], client)
        scope[RECORD] = record
        set_current(record)
        started = time.perf_counter()
        try:
            await self._answer(record, scope, receive, send)
        finally:
            record.route = getattr(scope.get("route"), "path", record.route)
            record.milliseconds = round((time.perf_counter() - started) * 1000, 3)
            self._audit.write(record)
            self._observe(record)

    async def _answer(
        self, record: RequestRecord, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                headers = message.setdefault("headers", [])
                headers.append((_ID_HEADER, record.request_id.encode()))
                headers.append((b"cache-control", b"no-store"))
                headers.append((b"x-content-type-options", b"nosniff"))
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            _logger.exception("request_id=%s failed", record.request_id)
            if record.status is not None:
                raise  # the response has begun: only breaking it off tells the client
            detail = f"something went wrong in the service; it is logged as {record.request_id}"
            response = problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail)
            await response(scope, receive, send_and_note)


class Authentication:
    """Lets through who shows an accepted credential with the scope that the path needs."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        """Takes what tells who asks."""
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it without reading its body."""
        if scope["type"] == "http" and scope["path"] not in _OPEN:
            try:
                scope[IDENTITY] = identity = await self._identify(scope)
                scope[RECORD].identify(identity)
                _check_scope(identity, scope["path"])
            except Problem as problem:
                await _refuse(problem, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _identify(self, scope: Scope) -> Identity:
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, credential = values[0].decode("latin-1").partition(" ") if values else ("",) * 3
        identity = None
        if len(values) == 1 and scheme.lower() == "bearer" and credential.isascii():
            identity = await self._authenticator.identify(credential.strip())
        if identity is None:
            detail = "a valid key or token is needed: `Authorization: Bearer …`"
            headers = {"WWW-Authenticate": 'Bearer realm="mover-ray"'}
            raise Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers=headers)
        return identity


def _check_scope(identity: Identity, path: str) -> None:
    prefixes = [one for one in _SCOPES if path == one or path.startswith(one.rstrip("/") + "/")]
    needed = _SCOPES[max(prefixes, key=len)]
    if needed is not None and needed not in identity.scopes:
        detail = f"the key or token lacks the scope `{needed}`"
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", detail)


class BodyLimit:
    """Bounds the size of a body and the time that it takes to arrive."""

    def __init__(self, app: ASGIApp, limits: LimitsConfig) -> None:
        """Takes the limits."""
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on with a body that cannot exceed the limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check_declared(scope)
        except Problem as problem:
            await _refuse(problem, scope, receive, send)
            return
        await self._app(scope, _LimitedBody(receive, scope[RECORD], self._limits), send)

    def _check_declared(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            too_long = len(value) > 18 or (
                value.isdigit() and int(value) > self._limits.upload_bytes
            )
            if name == b"content-length" and too_long:
                raise _too_large(self._limits)


class _LimitedBody:
    """A `receive` that raises a `Problem` once a body is too large or too slow."""

    def __init__(self, receive: Receive, record: RequestRecord, limits: LimitsConfig) -> None:
        self._receive = receive
        self._record = record
        self._limits = limits
        self._deadline = time.monotonic() + limits.body_s
        self._ended = False

    async def __call__(self) -> Message:
        if self._ended:
            return await self._receive()  # waits for the client to hang up
        left_s = min(self._limits.body_idle_s, self._deadline - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(left_s, 0.001))
        except TimeoutError:
            detail = "the body came too slowly"
            headers = {"Connection": "close"}
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, "too_slow", detail, headers=headers) from None
        if message["type"] == "http.request":
            self._record.body_bytes += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
            if self._record.body_bytes > self._limits.upload_bytes:
                raise _too_large(self._limits)
        return message


def _too_large(limits: LimitsConfig) -> Problem:
    detail = f"the body is larger than {limits.upload_bytes} bytes"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return Problem(status, "too_large", detail, headers={"Connection": "close"})


class RateLimit:
    """A token bucket for each tenant, in this replica."""

    def __init__(self, app: ASGIApp, limits: LimitsConfig) -> None:
        """Takes the limits."""
        self._app = app
        self._limits = limits
        self._buckets: dict[str, tuple[float, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it if its tenant asks too often."""
        identity = scope.get(IDENTITY)
        if identity is not None and not self._take(identity.tenant):
            wait_s = max(1, round(60 / self._limits.rate_per_minute))
            await _refuse(too_busy("too many requests", wait_s), scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _take(self, tenant: str) -> bool:
        now = time.monotonic()
        left, at = self._buckets.pop(tenant, (float(self._limits.burst), now))
        left = min(self._limits.burst, left + (now - at) * self._limits.rate_per_minute / 60)
        allowed = left >= 1
        self._buckets[tenant] = (left - 1 if allowed else left, now)
        if len(self._buckets) > _BUCKETS:  # the tenant that was quiet for longest
            del self._buckets[next(iter(self._buckets))]
        return allowed
