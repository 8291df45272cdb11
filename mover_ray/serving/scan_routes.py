"""`/v1/scans`: whole archives, as jobs on the Ray cluster."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from mover_ray.serving.audit import note
from mover_ray.serving.context import Context, context_of, identity_of
from mover_ray.serving.openapi import problems
from mover_ray.serving.problems import not_found
from mover_ray.serving.scans import ScanOrder, ScanService

router = APIRouter(tags=["scans"])
_Pattern = Annotated[str, Field(min_length=1, max_length=255)]


class ScanBody(BaseModel):
    """What to scan."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"source": "s3://archive/2026/"}]}
    )

    source: str = Field(max_length=2048, description="A prefix of an archive.")
    model: str | None = Field(default=None, description="A name from `/v1/models`.")
    masks: Literal["none", "top", "all"] = "top"
    include: list[_Pattern] = Field(default_factory=list, max_length=50)
    exclude: list[_Pattern] = Field(default_factory=list, max_length=50)
    limit: int | None = Field(default=None, ge=1)


class ScanDocument(BaseModel):
    """An archive job."""

    scan_id: str
    state: Literal["pending", "running", "succeeded", "failed", "stopped"]
    source: str | None
    dest: str | None = Field(description="Where the rows are written.")
    started_at: str | None
    ended_at: str | None
    exit_code: int | None
    progress: dict[str, Any] | None = None


class ScanList(BaseModel):
    """A tenant's scans."""

    scans: list[ScanDocument]


@router.post(
    "/v1/scans",
    status_code=202,
    summary="Scan an archive",
    responses=problems(400, 403, 404, 408, 413, 422, 429, 500, 503),
)
async def submit(
    request: Request,
    body: ScanBody,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> ScanDocument:
    """Start a job that writes one row for every video below a prefix."""
    context, identity = context_of(request), identity_of(request)
    scans = _scans(context)
    note(source=body.source)
    context.check_uri(body.source, identity.tenant)
    order = ScanOrder(
        source=body.source,
        model=context.model(body.model),
        masks=body.masks,
        include=tuple(body.include),
        exclude=tuple(body.exclude),
        limit=body.limit,
    )
    document = await asyncio.to_thread(scans.submit, identity.tenant, order, idempotency_key)
    note(scan_id=document["scan_id"])
    return ScanDocument(**document)


@router.get("/v1/scans", summary="List scans", responses=problems(404, 429, 500, 503))
async def list_scans(request: Request) -> ScanList:
    """List one's own scans, the newest first."""
    scans = _scans(context_of(request))
    documents = await asyncio.to_thread(scans.list, identity_of(request))
    return ScanList(scans=[ScanDocument(**document) for document in documents])


@router.get(
    "/v1/scans/{scan_id}", summary="Ask for a scan", responses=problems(404, 422, 429, 500, 503)
)
async def show(request: Request, scan_id: str) -> ScanDocument:
    """Give a scan, and how far it is."""
    scans = _scans(context_of(request))
    return _found(await asyncio.to_thread(scans.find, identity_of(request), scan_id))


@router.delete(
    "/v1/scans/{scan_id}",
    status_code=202,
    summary="Stop a scan",
    responses=problems(404, 422, 429, 500, 503),
)
async def stop(request: Request, scan_id: str) -> ScanDocument:
    """Ask a scan to commit what it has and to end."""
    scans = _scans(context_of(request))
    note(scan_id=scan_id)
    return _found(await asyncio.to_thread(scans.stop, identity_of(request), scan_id))


def _scans(context: Context) -> ScanService:
    if context.scans is None:
        raise not_found("thing: this service submits no scans")
    return context.scans


def _found(document: dict[str, Any] | None) -> ScanDocument:
    if document is None:
        raise not_found("scan")
    return ScanDocument(**document)
