"""API keys: made here, shown once, kept as hashes in a file that only its owner reads."""

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from mover_ray.config import suggest, user_file
from mover_ray.errors import ConfigError, LocationError
from mover_ray.provenance import dump_json
from mover_ray.serving.identity import SCOPES, TENANT_PATTERN, Identity

PREFIX: Final = "mr"
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; its secret is not."""

    key_id: str
    name: str
    """The tenant that it speaks for."""
    scopes: tuple[str, ...]
    sha256: str
    """Of the whole key. It has 256 random bits, so a slow hash would add nothing."""
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None

    @property
    def state(self) -> str:
        """`valid`, `revoked` or `expired`, now."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is None:
            return "valid"
        over = datetime.fromisoformat(self.expires_at) <= datetime.now(UTC)
        return "expired" if over else "valid"

    def as_json(self) -> dict[str, Any]:
        """Gives what may be shown; the hash is of no use to anybody."""
        facts = {name: value for name, value in asdict(self).items() if name != "sha256"}
        return {**facts, "state": self.state}


def default_file() -> Path:
    """Gives the path of the user's own file of keys; it need not exist."""
    return user_file().with_name("keys.json")


def create(
    path: Path, name: str, scopes: Sequence[str], lifetime: timedelta | None = None
) -> tuple[str, ApiKey]:
    """Adds a key to the file, which is made if it is not there.

    Args:
        path: The file.
        name: The tenant; several keys may speak for one.
        scopes: What the key allows, of `SCOPES`.
        lifetime: It cannot be used after that.

    Returns:
        The key itself, which is kept nowhere, and what is kept of it.

    Raises:
        ConfigError: The name or a scope is wrong.
    """
    if not re.fullmatch(TENANT_PATTERN, name):
        hint = "letters, digits, `.`, `_`, `@` and `-`, at most 63"
        raise ConfigError(f"not a name of a tenant: `{name}`", hint=hint)
    if not scopes:
        raise ConfigError("a key without a scope allows nothing", hint=suggest("", SCOPES))
    for scope in scopes:
        if scope not in SCOPES:
            raise ConfigError(f"unknown scope: `{scope}`", hint=suggest(scope, SCOPES))
    now = datetime.now(UTC)
    key_id = secrets.token_hex(6)
    text = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    key = ApiKey(
        key_id=key_id,
        name=name,
        scopes=tuple(scopes),
        sha256=_hash(text),
        created_at=now.isoformat(timespec="seconds"),
        expires_at=(now + lifetime).isoformat(timespec="seconds") if lifetime else None,
    )
    _change(path, lambda keys: [*keys, key])
    return text, key


def revoke(path: Path, key_id: str) -> ApiKey:
    """Ends a key; services that run notice within a second.

    Raises:
        ConfigError: There is no such key.
    """
    known = {key.key_id: key for key in read(path)}
    if key_id not in known:
        raise ConfigError(f"no such key: `{key_id}`", hint="`mover-ray keys list` shows them")
    revoked = replace(known[key_id], revoked_at=datetime.now(UTC).isoformat(timespec="seconds"))
    _change(path, lambda keys: [revoked if key.key_id == key_id else key for key in keys])
    return revoked


def read(path: Path) -> list[ApiKey]:
    """Gives the keys of a file in the order in which they were made.

    Raises:
        LocationError: There is no such file, or it is damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [_from_json(entry) for entry in document["keys"]]
    except FileNotFoundError:
        hint = "`mover-ray keys create NAME --scopes score` makes one"
        raise LocationError(f"no file of keys: `{path}`", hint=hint) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LocationError(f"the file of keys cannot be read: `{path}`: {error}") from error


class KeyFile:
    """The keys of a file, read again whenever it was changed."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            LocationError: There is no such file, or it is damaged.
        """
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._by_id: dict[str, ApiKey] = {}
        self._refresh()

    async def identify(self, credential: str) -> Identity | None:
        """Gives whom a key stands for; None for one that is unknown, expired or revoked."""
        self._refresh()
        parts = credential.split("_", 2)
        if len(parts) != 3 or parts[0] != PREFIX:
            return None
        key = self._by_id.get(parts[1])
        if key is None or not hmac.compare_digest(key.sha256, _hash(credential)):
            return None
        if key.state != "valid":
            return None
        return Identity(key.name, f"key:{key.key_id}", frozenset(key.scopes))

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
        except OSError as error:
            raise LocationError(f"the file of keys is gone: `{self._path}`") from error
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            self._by_id = {key.key_id: key for key in read(self._path)}
            self._stamp = stamp


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _from_json(entry: dict[str, Any]) -> ApiKey:
    return ApiKey(**{**entry, "scopes": tuple(entry["scopes"])})


def _change(path: Path, change: Callable[[list[ApiKey]], list[ApiKey]]) -> None:
    """Replaces the file as a whole, one writer at a time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(f".{path.name}.lock")):
            keys = change(read(path) if path.exists() else [])
            draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as to:
                to.write(dump_json({"keys": [asdict(key) for key in keys]}))
                to.flush()
                os.fsync(to.fileno())
            draft.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise LocationError(f"the file of keys cannot be written: `{path}`: {reason}") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
