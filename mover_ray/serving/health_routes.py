"""Is the service alive, ready, and with which models?"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from mover_ray.serving.context import context_of
from mover_ray.serving.engine import LostError
from mover_ray.serving.openapi import problems
from mover_ray.serving.problems import Problem

router = APIRouter(tags=["service"])
_CHECK_S: Final = 5.0


class Health(BaseModel):
    """One word."""

    status: str


class Model(BaseModel):
    """A model that requests may name."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    model_id: str
    model_sha256: str
    trained: bool
    default: bool


class ModelList(BaseModel):
    """Every model of the service."""

    models: list[Model]


@router.get("/healthz", summary="Alive?", responses=problems(500))
async def healthz() -> Health:
    """Answer as long as this replica runs."""
    return Health(status="ok")


@router.get("/readyz", summary="Ready?", responses=problems(500, 503))
async def readyz(request: Request) -> Health:
    """Answer once models are loaded, as long as decoders, scorers and their GPUs answer."""
    context = context_of(request)
    try:
        if not context.loaded:
            raise LostError("the models are not loaded yet")
        await asyncio.wait_for(context.engine.check(), _CHECK_S)
    except (LostError, TimeoutError):
        status = HTTPStatus.SERVICE_UNAVAILABLE
        raise Problem(status, "not_ready", "not ready", headers={"Retry-After": "2"}) from None
    return Health(status="ready")


@router.get("/v1/models", summary="Models", responses=problems(429, 500))
async def models(request: Request) -> ModelList:
    """List the models that a request may name."""
    context = context_of(request)
    default = context.config.default_model
    documents: list[dict[str, Any]] = [one.as_json() for one in context.models.values()]
    return ModelList(models=[Model(**one, default=one["name"] == default) for one in documents])


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **problems(429, 500)},
)
async def metrics(request: Request) -> Response:
    """Give this replica's figures in Prometheus' text format."""
    return Response(context_of(request).metrics.text(), media_type="text/plain; version=0.0.4")
