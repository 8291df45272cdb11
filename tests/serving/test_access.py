"""Who is let in (A1, A2), and what the refused can find out or set off."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from mover_ray.errors import ConfigError
from mover_ray.serving import keys
from mover_ray.serving.config import read_config
from tests.serving.service import CountedBody, Service, serving

ISSUER, AUDIENCE = "https://issuer.example", "mover-ray"


@pytest.fixture(scope="module")
def private_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def with_tokens(
    settings: dict[str, Any], private_key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> Iterator[Service]:
    jwk = json.loads(ECAlgorithm.to_jwk(private_key.public_key())) | {"kid": "one"}
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [jwk]}))
    tokens = {"issuer": ISSUER, "audience": AUDIENCE, "keys": str(path)}
    with serving(settings | {"tokens": tokens}) as service:
        yield service


@pytest.fixture
def token(private_key: ec.EllipticCurvePrivateKey) -> Callable[..., str]:
    def make(key: Any = None, alg: str = "ES256", header: Any = None, **changes: Any) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "carol",
            "scope": "score results",
            "exp": time.time() + 60,
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": "one"} | (header or {})
        return jwt.encode(claims, private_key if key is None else key, alg, headers=headers)

    return make


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """A server that nobody must ask, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer mr_abc_def"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Basic YWxpY2U6eA=="},
    ],
)
def test_without_a_valid_key_nothing_is_read_and_nothing_is_done(
    service: Service, headers: dict[str, str]
) -> None:
    body = CountedBody(pieces=1000)
    answer = service.ask("POST", "/v1/score", key=None, content=body, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert body.asked_for == 0, "the body was read before authentication"


def test_two_credentials_are_none(service: Service) -> None:
    headers = [("Authorization", f"Bearer {service.key}"), ("Authorization", "Bearer x")]
    transport_headers = [(name.encode(), value.encode()) for name, value in headers]

    async def ask() -> int:
        import httpx

        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return (await client.get("/v1/models", headers=transport_headers)).status_code

    assert service.run(ask()) == 401


@pytest.mark.parametrize(
    ("who", "method", "path", "status"),
    [
        ("reader", "POST", "/v1/score", 403),
        ("reader", "GET", "/v1/scans", 403),
        ("reader", "GET", "/v1/models", 200),
        ("alice", "GET", "/metrics", 403),
        ("admin", "GET", "/metrics", 200),
        ("admin", "GET", "/v1/results", 403),
        ("alice", "GET", "/v1/nothing", 404),
    ],
)
def test_a_key_allows_what_its_scopes_say(
    service: Service, the_keys: dict[str, str], who: str, method: str, path: str, status: int
) -> None:
    assert service.ask(method, path, key=the_keys[who]).status_code == status


def test_a_key_ends_when_it_is_revoked_or_over(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.json"
    one, kept = keys.create(path, "dave", ["score"])
    brief, _ = keys.create(path, "dave", ["score"], timedelta(seconds=-1))
    with serving(settings | {"keys_file": str(path)}) as service:
        assert service.ask("GET", "/v1/models", key=one).status_code == 200
        assert service.ask("GET", "/v1/models", key=brief).status_code == 401
        keys.revoke(path, kept.key_id)
        assert service.ask("GET", "/v1/models", key=one).status_code == 401


def test_a_token_of_the_issuer_is_accepted(with_tokens: Service, token: Callable[..., str]) -> None:
    assert with_tokens.post_video(key=token()).status_code == 200
    assert with_tokens.ask("GET", "/v1/scans", key=token()).status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1_000_000_000},
        {"exp": None},
        {"nbf": 32_503_680_000},
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://another.example"},
        {"iss": None},
        {"sub": "../root"},
        {"sub": None},
        {"alg": "HS256", "key": "a secret of more than thirty-two bytes"},
        {"alg": "none", "key": ""},
        {"header": {"kid": "two"}},
        {"header": {"typ": "logout+jwt"}},
    ],
)
def test_any_other_token_is_refused(
    with_tokens: Service, token: Callable[..., str], changes: dict[str, Any]
) -> None:
    body = CountedBody(pieces=10)
    answer = with_tokens.ask("POST", "/v1/score", key=token(**changes), content=body)
    assert (answer.status_code, body.asked_for) == (401, 0)


def test_a_token_cannot_bring_its_own_key(
    with_tokens: Service, token: Callable[..., str], canary: tuple[str, list[str]]
) -> None:
    place, asked = canary
    own = ec.generate_private_key(ec.SECP256R1())
    jwk = json.loads(ECAlgorithm.to_jwk(own.public_key()))
    for header in (
        {"jwk": jwk},
        {"jku": f"http://{place}/keys"},
        {"x5u": f"http://{place}/cert"},
        {"kid": f"http://{place}/keys"},
    ):
        forged = token(key=own, header=header)
        assert with_tokens.ask("GET", "/v1/models", key=forged).status_code == 401
    assert asked == []


def test_a_public_key_is_no_shared_secret(
    with_tokens: Service, private_key: ec.EllipticCurvePrivateKey
) -> None:
    """The old confusion of algorithms: HS256 keyed with the published key."""
    import base64
    import hmac

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def encode(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "carol", "exp": time.time() + 60}
    head = encode(json.dumps({"alg": "HS256", "kid": "one", "typ": "JWT"}).encode())
    signed = head + b"." + encode(json.dumps(claims).encode())
    forged = signed + b"." + encode(hmac.digest(pem, signed, "sha256"))
    assert with_tokens.ask("GET", "/v1/models", key=forged.decode()).status_code == 401


@pytest.mark.parametrize(
    "tokens",
    [
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"issuer": ISSUER},
        {"keys": "http://issuer.example/keys"},
    ],
)
def test_settings_that_would_accept_forgeries_are_refused(tokens: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        read_config({"models": {"a": "/a"}, "tokens": tokens})


def test_every_request_leaves_one_line_and_no_secret(
    service: Service, the_keys: dict[str, str], settings: dict[str, Any]
) -> None:
    service.ask("GET", "/v1/models")
    service.ask("GET", "/v1/models", key=None)
    service.ask("GET", '/v1/jobs/a%0Ab"c')
    text = Path(settings["audit_log"]).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["tenant"], line["status"]) for line in lines] == [
        ("alice", 200), (None, 401), ("alice", 404),
    ]  # fmt: skip
    assert lines[0]["credential"].startswith("key:")
    assert not any(key.rpartition("_")[2] in text for key in the_keys.values())


def test_a_fault_inside_says_nothing_of_the_inside(
    service: Service, engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine.error = RuntimeError("/secret/path: AKIA0000")
    answer = service.post_video()
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "/secret/path" in caplog.text
    assert asyncio.iscoroutinefunction(engine.score)
