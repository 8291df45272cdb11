"""The application in this process, asked over ASGI: no port, no Ray."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

import httpx
from starlette.types import ASGIApp, Message

from mover_ray.datasets.rows import video_id
from mover_ray.schemas import RESULT
from mover_ray.serving.app import create_service
from mover_ray.serving.config import ServeConfig, read_config
from mover_ray.serving.engine import Engine, Task
from mover_ray.serving.videos import UPLOAD, UploadedVideo
from mover_ray.stages.base import Row

T = TypeVar("T")


class ToyEngine:
    """Gives every video the same row, when and as it is told to."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.error: BaseException | None = None
        self.tasks: list[Task] = []
        self.gone = False
        self.release = asyncio.Event()
        self.release.set()

    async def score(self, task: Task) -> Row:
        self.tasks.append(task)
        await asyncio.sleep(self.delay_s)
        await self.release.wait()
        if self.error is not None:
            raise self.error
        return toy_row(task)

    async def load(self, models: object) -> None:
        """Nothing is loaded."""

    async def check(self) -> None:
        if self.gone:
            from mover_ray.serving.engine import LostError

            raise LostError

    async def close(self) -> None:
        """Nothing is held."""


def toy_row(task: Task) -> Row:
    """Gives a result row as the scoring stage would."""
    uploaded = isinstance(task.video, UploadedVideo)
    uri = UPLOAD if isinstance(task.video, UploadedVideo) else task.video.uri
    row: Row = dict.fromkeys(RESULT.names)
    return row | {
        "video_id": video_id(uri, task.video.fingerprint if uploaded else ""),
        "uri": uri,
        "status": "ok",
        "score": 0.25,
        "faces": [],
        "segments": [],
        "masks": [],
        "flags": [],
        "attempts": 1,
        "trained": False,
        "model_id": task.model.model_id,
        "model_sha256": task.model.model_sha256,
        "run_id": task.run_id,
        "scored_at": datetime.now(UTC),
        "crops": None,
    }


class Service:
    """A running application and a client of it."""

    def __init__(self, app: ASGIApp, key: str | None = None) -> None:
        self.app = app
        self.key = key
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.get_loop().set_debug(False)
        self.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stop())
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the application's loop."""
        return self._runner.run(work)

    def ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Gives the response to one request; with the service's key unless told otherwise."""
        return self.run(self.asked(method, path, **arguments))

    async def asked(
        self, method: str, path: str, *, key: str | None = "", **arguments: Any
    ) -> httpx.Response:
        """Asks within the application's loop."""
        key = self.key if key == "" else key
        headers = dict(arguments.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, headers=headers, **arguments)

    def post_video(self, content: bytes = b"video", **arguments: Any) -> httpx.Response:
        """Uploads bytes."""
        return self.ask("POST", "/v1/score", files={"file": ("a.mp4", content)}, **arguments)

    async def _start(self) -> None:
        self._to: asyncio.Queue[Message] = asyncio.Queue()
        self._from: asyncio.Queue[Message] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._life: asyncio.Future[None] = asyncio.ensure_future(
            self.app(scope, self._to.get, self._from.put)
        )
        await self._to.put({"type": "lifespan.startup"})
        said = await self._from.get()
        assert said["type"] == "lifespan.startup.complete", said

    async def _stop(self) -> None:
        await self._to.put({"type": "lifespan.shutdown"})
        await self._life


class CountedBody:
    """A body that says how much of it was asked for."""

    def __init__(
        self, pieces: int, size: int = 65_536, pause_s: float = 0.0, start: bytes = b""
    ) -> None:
        self.asked_for = 0
        self._pieces = pieces
        self._size = size
        self._pause_s = pause_s
        self._start = start

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._start:
            yield self._start
        for _ in range(self._pieces):
            self.asked_for += 1
            await asyncio.sleep(self._pause_s)
            yield b"x" * self._size


@contextlib.contextmanager
def serving(
    settings: Mapping[str, Any], engine: Engine | None = None, key: str | None = None
) -> Iterator[Service]:
    """Runs the application for the length of a `with` block."""
    config: ServeConfig = read_config(settings)
    with Service(create_service(config, engine or ToyEngine()).asgi, key) as service:
        yield service
