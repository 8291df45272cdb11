"""Starts the service on one machine, or hands it to a cluster that runs."""

import contextlib
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from mover_ray.errors import ConfigError, LocationError
from mover_ray.pipelines.ray_config import RayConfig, prepare_environment
from mover_ray.serving.access import authenticator
from mover_ray.serving.config import ServeConfig
from mover_ray.serving.served_models import find_models

APPLICATION: Final = "mover-ray"
_logger = logging.getLogger(__name__)
_SLACK_S: Final = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """Where the service listens."""

    host: str = "127.0.0.1"
    port: int = 8000
    tls_cert: Path | None = None
    """PEM file with the certificate and what leads to its root."""
    tls_key: Path | None = None
    """PEM file with the private key."""
    insecure_bind: bool = False
    """Listen to other machines without TLS, for a proxy in front that has it."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` where keys would travel in the clear."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("TLS needs both --tls-cert and --tls-key")
        check_host(self.host, has_tls=self.tls_cert is not None, insecure=self.insecure_bind)
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise LocationError(f"no such file: `{path}`")

    @property
    def url(self) -> str:
        """The address that clients use."""
        scheme = "http" if self.tls_cert is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def check_host(host: str, *, has_tls: bool, insecure: bool) -> None:
    """Raises `ConfigError` for an address that other machines reach without TLS."""
    if has_tls or insecure or host == "localhost":
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass  # a name, which may lead anywhere
    raise ConfigError(
        f"keys would travel in the clear: `{host}`",
        hint="give --tls-cert and --tls-key, or --insecure-bind behind a proxy that has TLS",
    )


def run_here(
    config: ServeConfig, listener: Listener, ray: RayConfig, tell: Callable[[str], None]
) -> None:
    """Serves until SIGINT or SIGTERM; what is under way by then is finished.

    Args:
        config: The application.
        listener: Where it listens.
        ray: How to start or join Ray.
        tell: Told the address once requests are answered.

    Raises:
        ConfigError: A setting is wrong.
        ArtifactError: A model is missing, altered or not trained.
        LocationError: The port is taken, or a file is missing.
    """
    authenticator(config)
    find_models(config)
    _check_port(listener)
    prepare_environment(ray)
    from mover_ray.pipelines.ray_engine import connected

    # The handlers come last: Ray sets its own, which abort the process.
    with connected(ray), _served(config, listener), _stop_request() as stop:
        tell(listener.url)
        while not stop.wait(0.5):
            pass
        tell("stopping: requests under way are finished first")


@contextlib.contextmanager
def _served(config: ServeConfig, listener: Listener) -> Iterator[None]:
    from ray import serve
    from ray.serve.config import HTTPOptions

    from mover_ray.serving.deployments import build_application

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    limits = config.limits
    serve.start(
        proxy_location="HeadOnly",
        http_options=HTTPOptions(
            host=listener.host,
            port=listener.port,
            request_timeout_s=limits.body_s + limits.wait_s + _SLACK_S,
            ssl_certfile=None if listener.tls_cert is None else str(listener.tls_cert),
            ssl_keyfile=None if listener.tls_key is None else str(listener.tls_key),
        ),
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    try:
        ingress = serve.run(build_application(config), name=APPLICATION, route_prefix="/")
        yield
        _drain(ingress, config.replicas.drain_s)
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]


def _drain(ingress: Any, longest_s: float) -> None:
    """Has everything under way finished while the workers are still there."""
    from ray.exceptions import RayError

    try:
        ingress.drain.remote().result(timeout_s=longest_s + _SLACK_S)
    except (RayError, TimeoutError) as error:
        _logger.warning("not everything under way was finished: %s", error)


@contextlib.contextmanager
def _stop_request() -> Iterator[threading.Event]:
    """Gives what SIGINT and SIGTERM set; Ray's native code survives no exception instead."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _check_port(listener: Listener) -> None:
    """Raises `LocationError` if the port cannot be had: Serve would try for minutes."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listener.host, listener.port))
        except OSError as error:
            reason = error.strerror or str(error)
            text = f"cannot listen at: `{listener.url}`: {reason}"
            raise LocationError(text, hint="choose another --port") from error
