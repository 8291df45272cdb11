"""A real client, a real Serve over loopback, a real S3 server."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.results import open_results
from mover_ray.pipelines.score import ScoreOptions, score
from mover_ray.storage import storage_for
from tests.s3_server import OWNER, S3Server
from tests.serving.served import Served, get_json, served

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

PREFIX = "s3://shared/served"


@pytest.fixture(scope="module")
def running(
    model: Path, keys_file: Path, the_keys: dict[str, str], s3_server: S3Server
) -> Iterator[Served]:
    settings = (f'serve.uri_prefixes=["{PREFIX}/"]', "serve.limits.upload_bytes=10000000")
    aws = {
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": OWNER[0],
        "AWS_SECRET_ACCESS_KEY": OWNER[1],
    }
    with served(model, keys_file, *settings, **aws) as one:
        yield one


@pytest.fixture
def client(running: Served, the_keys: dict[str, str]) -> Iterator[httpx.Client]:
    with running.client(the_keys["alice"]) as one:
        yield one


@pytest.fixture
def stored(archive: Path, s3: S3Server) -> dict[str, str]:
    """The archive in a bucket: uri by file name."""
    uris = {path.name: f"{PREFIX}/{path.name}" for path in archive.iterdir()}
    for name, uri in uris.items():
        storage_for(uri).write(uri, (archive / name).read_bytes())
    return uris


def test_scores_are_those_of_the_batch_path(
    client: httpx.Client, stored: dict[str, str], archive: Path, model: Path, tmp_path: Path
) -> None:
    options = ScoreOptions(
        source=PREFIX, dest=str(tmp_path), model=str(model), engine="local", allow_untrained=True
    )
    score(options, Quiet())
    batch = {Path(row["uri"]).name: row for row in _rows(str(tmp_path))}
    for name, uri in stored.items():
        by_uri = client.post("/v1/score", json={"uri": uri}).json()
        upload = {"file": (name, (archive / name).read_bytes())}
        by_upload = client.post("/v1/score", files=upload).json()
        for found in (by_uri, by_upload):
            assert found["status"] == batch[name]["status"]
            assert found["score"] == pytest.approx(batch[name]["score"], abs=1e-4)
        assert by_uri["video_id"] == str(batch[name]["video_id"])


def test_a_job_comes_to_its_end(client: httpx.Client, archive: Path) -> None:
    upload = {"file": ("a.mp4", (archive / "face00.mp4").read_bytes())}
    answer = client.post("/v1/score", files=upload, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    end = time.monotonic() + 60
    while (job := get_json(client, answer.headers["location"]))["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.2)
    assert job["result"]["status"] == "ok"


def test_without_a_key_an_endless_body_is_answered_at_once(running: Served) -> None:
    """6 GB without a length: the proxy's memory does not follow what is sent."""
    before = _memory(running)
    sent, answer = _pour(running, {}, limit=200 * 2**20)
    assert b" 401 " in answer
    assert sent < 100 * 2**20
    assert _memory(running) - before < 200 * 2**20


def test_with_a_key_an_endless_body_is_cut_off(running: Served, the_keys: dict[str, str]) -> None:
    before = _memory(running)
    headers = {
        "Authorization": f"Bearer {the_keys['alice']}",
        "Content-Type": "multipart/form-data; boundary=b",
    }
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    sent, answer = _pour(running, headers, limit=6 * 2**30, head=head)
    assert b" 413 " in answer
    assert sent < 2**30
    assert _memory(running) - before < 400 * 2**20


def test_slow_clients_keep_nobody_from_being_answered(
    running: Served, client: httpx.Client
) -> None:
    sockets = [socket.create_connection(_address(running)) for _ in range(200)]
    try:
        for number, one in enumerate(sockets):
            one.sendall(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nX-Slow: %d" % number)
        assert client.get("/v1/models", timeout=10).status_code == 200
    finally:
        for one in sockets:
            one.close()


def test_only_loopback_is_listened_at(running: Served) -> None:
    port = _address(running)[1]
    listening = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    places = {tuple(one.laddr)[:2] for one in listening}
    assert {host for host, number in places if number == port} == {"127.0.0.1"}
    own = {tuple(one.laddr)[1] for one in _own(running, listening)}
    assert 9000 not in own, "gRPC is on"


def _own(running: Served, listening: list[Any]) -> list[Any]:
    family = psutil.Process(running.process.pid).children(recursive=True)
    own = {running.process.pid, *(child.pid for child in family)}
    return [one for one in listening if one.pid in own]


def _rows(dest: str) -> list[dict[str, Any]]:
    results = open_results(dest)
    ids = [one for table in results.tables(("video_id",)) for one in table["video_id"].to_pylist()]
    return results.take(ids)


def _address(running: Served) -> tuple[str, int]:
    url = httpx.URL(running.url)
    return url.host, int(url.port or 0)


def _pour(
    running: Served, headers: dict[str, str], limit: int, head: bytes = b""
) -> tuple[int, bytes]:
    """Sends a chunked body until it is answered; gives how much was sent, and the answer."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    start = "\r\n".join(
        ["POST /v1/score HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *lines, "", ""]
    )
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    sent, answer = 0, b""
    with socket.create_connection(_address(running), timeout=30) as one:
        one.sendall(start.encode())
        if head:
            one.sendall(b"%x\r\n%b\r\n" % (len(head), head))
        while sent < limit:
            try:
                one.sendall(piece)
                sent += 65_536
                one.settimeout(0.0001)
                answer = one.recv(65_536)
            except (TimeoutError, BlockingIOError):
                one.settimeout(30)
                continue
            except OSError:
                break
            if answer:
                break
    return sent, answer


def _memory(running: Served) -> int:
    """Gives the bytes that the service's processes hold for themselves."""
    family = psutil.Process(running.process.pid).children(recursive=True)
    return sum(_private(one) for one in family)


def _private(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss - process.memory_info().shared)
    except psutil.Error:
        return 0
