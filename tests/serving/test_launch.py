"""Settings, addresses and keys, as the command line gives them."""

import json
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from mover_ray.errors import ConfigError, LocationError
from mover_ray.pipelines.ray_config import RayConfig
from mover_ray.serving.access import authenticator
from mover_ray.serving.config import read_config
from mover_ray.serving.deploy import IMPORT_PATH, read_file
from mover_ray.serving.keys import create, read, revoke
from mover_ray.serving.launch import Listener, run_here
from mover_ray.serving.settings import for_one_machine, resolve

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", ""])  # noqa: S104
def test_keys_never_travel_in_the_clear(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in the clear"):
        Listener(host=host)
    Listener(host=host, insecure_bind=True)
    for name in ("cert", "key"):
        (tmp_path / name).touch()
    listener = Listener(host=host, tls_cert=tmp_path / "cert", tls_key=tmp_path / "key")
    assert listener.url.startswith("https://")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_needs_no_tls(host: str) -> None:
    assert Listener(host=host).url.startswith("http://")


def test_a_taken_port_is_said_before_ray_starts(settings: dict[str, Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listener = Listener(port=taken.getsockname()[1])
        with pytest.raises(LocationError, match="cannot listen"):
            run_here(read_config(settings), listener, RayConfig(), print)


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": {}},
        {"models": {"a": 3}},
        {"uri_prefixes": ["s3://bucket/no-slash"]},
        {"uri_prefixes": ["http://bucket/"]},
        {"replicas": {"ingress": 2}},
        {"replicas": {"decoders_min": 3}},
        {"limits": {"in_flight": 0}},
        {"scans": {"address": "http://127.0.0.1:8265"}},
        {"unknown": 1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        read_config({"models": {"a": "/a"}} | wrong)


def test_a_service_that_nobody_could_use_does_not_start() -> None:
    with pytest.raises(ConfigError, match="nobody"):
        authenticator(read_config({"models": {"a": "/a"}}))


def test_flags_win_and_the_settings_of_score_go_along(tmp_path: Path) -> None:
    config, ray = resolve(
        {
            "serve": {"models": {"b": "/b"}, "limits": {"in_flight": 3}},
            "score": {"scoring": {"threads": 2}},
            "ray": {"num_cpus": 4},
        },
        model="m",
        keys=tmp_path / "k",
        allow_untrained=True,
        require_sandbox=True,
    )
    assert (list(config.models), config.limits.in_flight, ray.num_cpus) == (["default"], 3, 4)
    assert config.settings["scoring"] == {"threads": 2}
    assert config.settings["require_sandbox"] is True
    assert config.keys_file == str(tmp_path / "k")


@pytest.mark.parametrize("cpus", [1, 2, 8])
@pytest.mark.parametrize("gpus", [0, 1])
def test_replicas_fit_on_the_machine(cpus: int, gpus: int) -> None:
    replicas = for_one_machine(cpus, gpus)
    reserved = replicas.decoders_max * replicas.decoder_cpus + replicas.scorer_cpus
    assert reserved <= cpus
    assert replicas.scorer_gpus <= gpus


def test_the_example_can_be_deployed(tmp_path: Path) -> None:
    document = read_file(ROOT / "cluster" / "serve.yaml", insecure_bind=False)
    assert document["http_options"]["host"] == "127.0.0.1"
    assert document["grpc_options"]["enable_reflection"] is False
    (application,) = document["applications"]
    assert application["import_path"] == IMPORT_PATH


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("- 1", "not a configuration"),
        ("a: [", "cannot be read"),
        ({"applications": [{"import_path": IMPORT_PATH, "args": {}}]}, "no model"),
        ({"applications": [], "http_options": {"host": "0.0.0.0"}}, "in the clear"),  # noqa: S104
    ],
)
def test_a_wrong_serve_yaml_never_reaches_the_cluster(
    document: Any, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    with pytest.raises(ConfigError, match=reason):
        read_file(path, insecure_bind=False)


def test_the_file_of_keys_holds_hashes_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.json"
    texts = [create(path, name, ["score"])[0] for name in ("alice", "bob")]
    content = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(text.rpartition("_")[2] in content for text in texts)
    revoke(path, read(path)[0].key_id)
    assert [key.state for key in read(path)] == ["revoked", "valid"]


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ["score"]), ("../x", ["score"]), ("a", []), ("a", ["scores"])]
)
def test_a_wrong_key_is_not_made(name: str, scopes: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        create(tmp_path / "k", name, scopes)
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"keys": [{}]}', '{"keys": [{"x": 1}]}'])
def test_a_damaged_file_of_keys_is_said_to_be(content: str, tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text(content)
    with pytest.raises(LocationError, match="cannot be read"):
        read(path)


def test_the_document_of_the_service_names_no_inner_path(settings: dict[str, Any]) -> None:
    from tests.serving.service import serving

    with serving(settings) as service:
        document = service.ask("GET", "/openapi.json", key=None).json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert str(ROOT) not in json.dumps(document)
    answers = document["paths"]["/v1/score"]["post"]["responses"]
    assert {"200", "202", "401", "403", "413", "429", "503"} <= set(answers)
