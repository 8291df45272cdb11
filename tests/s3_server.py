"""A real S3 server (SeaweedFS) on the loopback, for tests."""

import functools
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

#: Throw-away identities: the owner may do all, the reader may read one bucket.
OWNER = ("owner-key", "owner-secret")
READER = ("reader-key", "reader-secret")
READABLE_BUCKET = "readable"

_SHARED_BUCKET = "shared"

_START_TIMEOUT_S = 60
_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)
#: It makes seven at a time otherwise, and runs out after a few buckets.
_ONE_VOLUME_A_BUCKET = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
_NO_DAEMONS = ("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false")


class S3Server:
    """One server process with its own ports and its own folder."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self._numbers = itertools.count()
        self._log = (folder / "weed.log").open("wb")
        self._process = subprocess.Popen(
            [binary, *_arguments(folder, self._ports)],
            cwd=folder,
            env={**os.environ, **_ONE_VOLUME_A_BUCKET},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.port = self._ports["s3.port"]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._wait_until_ready()

    @functools.cached_property
    def client(self) -> Any:
        """A plain boto3 client of the owner, to prepare and to check what is stored."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=OWNER[0],
            aws_secret_access_key=OWNER[1],
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}),
        )

    def make_bucket(self, *, versions: bool = False) -> str:
        """Makes a new bucket and gives its name."""
        name = f"bucket-{next(self._numbers)}"
        client = self.client
        client.create_bucket(Bucket=name)
        if versions:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def make_folder(self) -> str:
        """Gives the uri of a new, empty prefix; much faster than a bucket of its own."""
        return f"s3://{_SHARED_BUCKET}/folder-{next(self._numbers)}"

    def stop(self) -> None:
        """Ends the process at once: asked politely it takes ten seconds."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + _START_TIMEOUT_S
        while self._process.poll() is None:
            try:
                client = self.client
                client.create_bucket(Bucket=READABLE_BUCKET)
                client.create_bucket(Bucket=_SHARED_BUCKET)
                client.put_object(Bucket=READABLE_BUCKET, Key="ready", Body=b"")
            except (BotoCoreError, ClientError):
                if time.monotonic() > end:
                    self.stop()
                    raise
                time.sleep(0.2)
            else:
                return
        raise RuntimeError(f"the S3 server ended with {self._process.returncode}")


def find_binary() -> Path | None:
    """Gives the `weed` program of this environment; null if it is not installed."""
    beside = Path(sys.executable).parent / "weed"
    found = beside if beside.exists() else shutil.which("weed")
    return Path(found) if found else None


def _arguments(folder: Path, ports: dict[str, int]) -> list[str]:
    data = folder / "data"
    data.mkdir()
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": _identities()}))
    return [
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-filer",
        "-s3",
        f"-s3.config={config}",
        "-volume.max=1000",
        "-master.volumeSizeLimitMB=64",
        *_NO_DAEMONS,
        *(f"-{name}={port}" for name, port in ports.items()),
    ]


def _identities() -> list[dict[str, Any]]:
    def identity(name: str, keys: tuple[str, str], actions: list[str]) -> dict[str, Any]:
        credentials = [{"accessKey": keys[0], "secretKey": keys[1]}]
        return {"name": name, "credentials": credentials, "actions": actions}

    reading = [f"{action}:{READABLE_BUCKET}" for action in ("Read", "List")]
    return [
        identity("owner", OWNER, ["Admin", "Read", "List", "Tagging", "Write"]),
        identity("reader", READER, reading),
    ]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
