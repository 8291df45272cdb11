"""Hands a `serve.yaml` to a Ray cluster that runs, and waits until it is in force."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from mover_ray.errors import ConfigError, LocationError
from mover_ray.serving.config import read_config
from mover_ray.serving.launch import check_host

IMPORT_PATH: Final = "mover_ray.serving.deployments:build"
_POLL_S: Final = 1.0
_FAILED: Final = ("DEPLOY_FAILED", "UNHEALTHY")


def read_file(path: Path, *, insecure_bind: bool) -> dict[str, Any]:
    """Gives a `serve.yaml` that the cluster may be given.

    Raises:
        ConfigError: It is none, a setting of the service is wrong, or keys would travel in the
            clear.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot be read: `{path}`: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("applications"), list):
        raise ConfigError(f"not a configuration of Ray Serve: `{path}`")
    http = document.setdefault("http_options", {})
    # Ray's own default is 0.0.0.0.
    host = http.setdefault("host", "127.0.0.1")
    check_host(str(host), has_tls="ssl_certfile" in http, insecure=insecure_bind)
    document.setdefault("grpc_options", {}).setdefault("enable_reflection", False)
    for application in document["applications"]:
        if application.get("import_path") == IMPORT_PATH:
            read_config(application.get("args", {}))
    return document


def deploy_file(
    path: Path, address: str, *, insecure_bind: bool, timeout_s: float
) -> dict[str, str]:
    """Deploys a `serve.yaml`.

    Args:
        path: The file.
        address: Of the cluster's dashboard.
        insecure_bind: Accept an address that other machines reach without TLS.
        timeout_s: How long to wait until every application runs.

    Returns:
        The state of each application by its name.

    Raises:
        ConfigError: The file is wrong, or an application could not be deployed.
        LocationError: The cluster does not answer, or not in time.
    """
    document = read_file(path, insecure_bind=insecure_bind)
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

    try:
        client = ServeSubmissionClient(address)
        client.deploy_applications(document)
        return _wait(client, timeout_s)
    except (ConnectionError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        hint = "`ray status` on its head node says whether it runs"
        raise LocationError(f"cannot deploy at: `{address}`: {reason}", hint=hint) from error


def _wait(client: Any, timeout_s: float) -> dict[str, str]:
    end = time.monotonic() + timeout_s
    while True:
        found: Mapping[str, Any] = client.get_serve_details()["applications"]
        states = {name: str(details["status"]) for name, details in found.items()}
        for name, details in found.items():
            if states[name] in _FAILED:
                raise ConfigError(f"not deployed: `{name}`: {details.get('message', '')}")
        if states and all(state == "RUNNING" for state in states.values()):
            return states
        if time.monotonic() > end:
            raise LocationError(f"not running after {timeout_s:g} s: {states}")
        time.sleep(_POLL_S)
