"""A small model, keys of two tenants, and the application with an engine that costs nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mover_ray.serving import keys
from tests.archive import make_archive, make_model
from tests.serving.service import Service, ToyEngine, serving

#: A key's text by the name of the fixture that holds it.
Keys = dict[str, str]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained model."""
    return make_model(tmp_path_factory.mktemp("model") / "small").path


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video with a face, one without and one that is broken."""
    return make_archive(tmp_path_factory.mktemp("videos") / "archive", faces=1)


@pytest.fixture(scope="session")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of keys; `the_keys` made it."""
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="session")
def the_keys(keys_file: Path) -> Keys:
    """Keys of two tenants, and one that allows little."""
    every = ("score", "scan", "results")
    return {
        "alice": keys.create(keys_file, "alice", every)[0],
        "bob": keys.create(keys_file, "bob", every)[0],
        "reader": keys.create(keys_file, "reader", ("results",))[0],
        "admin": keys.create(keys_file, "root", ("admin", "scan"))[0],
    }


@pytest.fixture
def settings(model: Path, keys_file: Path, the_keys: Keys, tmp_path: Path) -> dict[str, Any]:
    """Settings of a service for both tenants."""
    return {
        "models": {"small": str(model)},
        "allow_untrained": True,
        "keys_file": str(keys_file),
        "uri_prefixes": ["s3://shared/", "s3://own/{tenant}/"],
        "audit_log": str(tmp_path / "audit.log"),
    }


@pytest.fixture
def engine() -> ToyEngine:
    """What scores in the fixture `service`."""
    return ToyEngine()


@pytest.fixture
def service(settings: dict[str, Any], engine: ToyEngine, the_keys: Keys) -> Iterator[Service]:
    """The application, asked by alice."""
    with serving(settings, engine, the_keys["alice"]) as running:
        yield running


Serving = Callable[..., Any]
