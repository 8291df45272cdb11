"""Puts together the ways to authenticate that the settings name."""

from pathlib import Path

from mover_ray.errors import ConfigError
from mover_ray.serving.config import ServeConfig
from mover_ray.serving.identity import AnyOf, Authenticator
from mover_ray.serving.keys import KeyFile
from mover_ray.serving.tokens import TokenVerifier


def authenticator(config: ServeConfig) -> Authenticator:
    """Gives what tells who asks.

    Raises:
        ConfigError: Nobody could ever authenticate.
        LocationError: The file of keys, or of the issuer's keys, cannot be read.
    """
    ways: list[Authenticator] = []
    if config.keys_file:
        ways.append(KeyFile(Path(config.keys_file)))
    if config.tokens.issuer:
        ways.append(TokenVerifier(config.tokens))
    if not ways:
        hint = "`mover-ray keys create NAME --scopes score`, then `--keys FILE`; or serve.tokens"
        raise ConfigError("nobody could use the service: no keys and no issuer", hint=hint)
    return AnyOf(ways)
