"""OpenID Connect: signed tokens of one issuer, for one audience, by its published keys."""

import asyncio
import json
import logging
import re
import time
from pathlib import Path
from typing import Any, Final

import jwt

from mover_ray.errors import LocationError
from mover_ray.serving.config import TokenConfig
from mover_ray.serving.identity import SCOPES, TENANT_PATTERN, Identity

_logger = logging.getLogger(__name__)

#: A token with an unknown key id makes the set be fetched again, at most so often: strangers
#: must not be able to set off requests to the issuer.
_REFRESH_S: Final = 60.0
_TIMEOUT_S: Final = 5.0
_TYPES: Final = ("JWT", "at+jwt", None)


class TokenVerifier:
    """Accepts tokens that the issuer signed for this service."""

    def __init__(self, config: TokenConfig) -> None:
        """Reads the keys, if they lie in a file.

        Raises:
            LocationError: There is no such file, or it is no JWK set.
        """
        self._config = config
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = -_REFRESH_S
        self._reading = asyncio.Lock()
        if "://" not in config.keys:
            self._read()

    async def identify(self, credential: str) -> Identity | None:
        """Gives whom a token stands for; None for one that is not accepted."""
        if credential.count(".") != 2:
            return None
        try:
            key = await self._key(jwt.get_unverified_header(credential))
            return None if key is None else self._identity(self._claims(credential, key))
        except jwt.PyJWTError as error:
            _logger.info("token refused: %s", type(error).__name__)
            return None

    async def _key(self, header: dict[str, Any]) -> jwt.PyJWK | None:
        """Gives the issuer's key of that id; a key or address in the header counts nothing."""
        if header.get("typ") not in _TYPES or header.get("alg") not in self._config.algorithms:
            return None
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            return None
        async with self._reading:
            if key_id not in self._keys and time.monotonic() - self._read_at >= _REFRESH_S:
                await asyncio.to_thread(self._try_to_read)
        return self._keys.get(key_id)

    def _claims(self, credential: str, key: jwt.PyJWK) -> dict[str, Any]:
        config = self._config
        claims: dict[str, Any] = jwt.decode(
            credential,
            key,
            algorithms=list(config.algorithms),
            audience=config.audience,
            issuer=config.issuer,
            leeway=config.leeway_s,
            options={"require": ["exp", "iss", "aud", config.tenant_claim]},
        )
        return claims

    def _identity(self, claims: dict[str, Any]) -> Identity | None:
        tenant = str(claims[self._config.tenant_claim])
        if not re.fullmatch(TENANT_PATTERN, tenant):
            return None
        given = claims.get(self._config.scope_claim, "")
        words = given.split() if isinstance(given, str) else given
        scopes = frozenset(words) & frozenset(SCOPES) if isinstance(words, list) else frozenset()
        return Identity(tenant, f"token:{claims.get('jti') or claims.get('sub')}", scopes)

    def _try_to_read(self) -> None:
        try:
            self._read()
        except LocationError as error:
            _logger.warning("%s", error)

    def _read(self) -> None:
        self._read_at = time.monotonic()
        source = self._config.keys
        try:
            if "://" in source:
                client = jwt.PyJWKClient(source, timeout=_TIMEOUT_S, cache_jwk_set=False)
                found = client.get_jwk_set()
            else:
                found = jwt.PyJWKSet.from_dict(json.loads(Path(source).read_text("utf-8")))
        except (OSError, ValueError, jwt.PyJWTError) as error:
            raise LocationError(f"the issuer's keys cannot be read: `{source}`: {error}") from error
        self._keys = {key.key_id: key for key in found.keys if key.key_id}
