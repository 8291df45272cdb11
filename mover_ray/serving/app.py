"""The ASGI application: routes behind the gate. Knows nothing of Ray."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from mover_ray import __version__
from mover_ray.errors import MoverRayError
from mover_ray.serving import health_routes, result_routes, scan_routes, score_routes
from mover_ray.serving.access import authenticator
from mover_ray.serving.audit import AuditLog
from mover_ray.serving.config import ServeConfig
from mover_ray.serving.context import Context
from mover_ray.serving.engine import Engine
from mover_ray.serving.gate import Authentication, BodyLimit, RateLimit, Recorder
from mover_ray.serving.jobs import JobBook
from mover_ray.serving.metrics import Metrics
from mover_ray.serving.openapi import describe
from mover_ray.serving.problems import on_http_error, on_invalid_request, on_user_error
from mover_ray.serving.scans import ScanService
from mover_ray.serving.score_service import ScoreService
from mover_ray.serving.served_models import find_models
from mover_ray.storage import normalise

_SWEEP_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Service:
    """The application, and what ends it in good order."""

    asgi: ASGIApp
    scoring: ScoreService


def create_service(config: ServeConfig, engine: Engine) -> Service:
    """Puts the whole application together.

    Args:
        config: Its settings.
        engine: Who scores; it is closed with the application.

    Raises:
        ConfigError: Nobody could ever authenticate.
        ArtifactError: A model is missing, altered or not trained.
        LocationError: A file that is named cannot be used.
    """
    who = authenticator(config)
    models = find_models(config)
    held = contextlib.ExitStack()
    audit = held.enter_context(contextlib.closing(AuditLog(config.audit_log)))
    state = config.state or held.enter_context(tempfile.TemporaryDirectory(prefix="mover-ray-"))
    book = JobBook(normalise(state))
    scoring = ScoreService(engine, book, config.limits)
    context = Context(
        config=config,
        models=models,
        engine=engine,
        scoring=scoring,
        scans=ScanService(config) if config.scans.address else None,
        metrics=Metrics(lambda: scoring.in_flight),
    )
    gate: ASGIApp = RateLimit(_routed(context, book, held), config.limits)
    gate = BodyLimit(gate, config.limits)
    gate = Authentication(gate, who)
    return Service(Recorder(gate, audit, context.metrics.observe), scoring)


def _routed(context: Context, book: JobBook, held: contextlib.ExitStack) -> FastAPI:
    """Gives the routes, and what happens before the first and after the last request."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(book, context.config.limits.keep_s))
        try:
            await context.engine.load(list(context.models.values()))
            context.loaded = True
            yield
            await context.scoring.drain(context.config.replicas.drain_s)
        finally:
            sweeping.cancel()
            await context.engine.close()
            held.close()

    app = FastAPI(
        title="mover-ray",
        version=__version__,
        description="Finds manipulated faces in videos.",
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.context = context
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    for routes in (score_routes, scan_routes, result_routes, health_routes):
        app.include_router(routes.router)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(MoverRayError, on_user_error)
    return app


async def _sweep(book: JobBook, keep_s: float) -> None:
    """Removes old jobs and keys for as long as the application runs."""
    while True:
        await book.forget_old(keep_s)
        await asyncio.sleep(_SWEEP_S)
