"""`/v1/results`: what earlier runs found."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, Field
from starlette.requests import Request

from mover_ray.serving.context import context_of, identity_of
from mover_ray.serving.documents import VideoResult, result_document
from mover_ray.serving.openapi import problems
from mover_ray.serving.problems import not_found
from mover_ray.serving.result_pages import Selection, read_masks, read_page
from mover_ray.stages.base import Row
from mover_ray.status import Status

router = APIRouter(tags=["results"])

Dataset = Annotated[str | None, Query(max_length=255, description="A dataset by its name.")]
Scan = Annotated[str | None, Query(max_length=255, description="A scan of one's own.")]
VideoId = Annotated[str, Path(pattern="^[0-9]{1,19}$", description="As results give it.")]


class PageQuery(BaseModel):
    """Which results, and in which order."""

    dataset: str | None = Field(default=None, max_length=255, description="By its name.")
    scan: str | None = Field(default=None, max_length=255, description="One of one's own.")
    status: Status | None = None
    min_score: float | None = Field(default=None, ge=0, le=1)
    max_score: float | None = Field(default=None, ge=0, le=1)
    scored_after: AwareDatetime | None = None
    scored_before: AwareDatetime | None = None
    order: Literal["-score", "score", "-scored_at", "scored_at"] = "-score"
    limit: int = Field(default=100, ge=1, le=500)
    cursor: str | None = Field(default=None, max_length=512)

    def selection(self) -> Selection:
        """Gives it without where the results are."""
        return Selection(**self.model_dump(exclude={"dataset", "scan"}))


class ResultPage(BaseModel):
    """Some results, without masks."""

    results: list[VideoResult]
    next_cursor: str | None = Field(description="Null on the last page.")


class MaskList(BaseModel):
    """The masks of one video."""

    masks: list[dict[str, Any]]


@router.get(
    "/v1/results",
    summary="Page through results",
    response_model=ResultPage,
    responses=problems(404, 422, 429, 500),
)
async def page(request: Request, query: Annotated[PageQuery, Query()]) -> dict[str, Any]:
    """Give results of a dataset or a scan by score, status and time, one page after the other."""
    dest = await _dest(request, query.dataset, query.scan)
    found = await asyncio.to_thread(read_page, dest, query.selection())
    return {
        "results": [result_document(row) for row in found.rows],
        "next_cursor": found.next_cursor,
    }


@router.get(
    "/v1/results/{video_id}/masks",
    summary="List the masks of a video",
    response_model=MaskList,
    responses=problems(404, 422, 429, 500),
)
async def masks(
    request: Request, video_id: VideoId, dataset: Dataset = None, scan: Scan = None
) -> dict[str, Any]:
    """List which frames of which faces have a mask, and where it is."""
    found = await _masks(request, video_id, dataset, scan)
    base = request.url.path
    query = f"?{request.url.query}" if request.url.query else ""
    listed = []
    for mask in found:
        facts = {name: value for name, value in mask.items() if name != "png"}
        href = f"{base}/{mask['track_id']}/{mask['frame_index']}.png{query}"
        listed.append({**facts, "href": href})
    return {"masks": listed}


@router.get(
    "/v1/results/{video_id}/masks/{track_id}/{frame_index}.png",
    summary="Give one mask",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **problems(404, 422, 429, 500)},
)
async def mask(
    request: Request,
    video_id: VideoId,
    track_id: int,
    frame_index: int,
    dataset: Dataset = None,
    scan: Scan = None,
) -> Response:
    """Give an 8-bit gray PNG that lies over the mask's `box` in the displayed frame."""
    for one in await _masks(request, video_id, dataset, scan):
        if (one["track_id"], one["frame_index"]) == (track_id, frame_index):
            return Response(one["png"], media_type="image/png")
    raise not_found("mask")


async def _masks(
    request: Request, video_id: str, dataset: str | None, scan: str | None
) -> list[Row]:
    dest = await _dest(request, dataset, scan)
    if int(video_id) >= 2**63:
        raise not_found("video")
    found = await asyncio.to_thread(read_masks, dest, int(video_id))
    if found is None:
        raise not_found("video")
    return found


async def _dest(request: Request, dataset: str | None, scan: str | None) -> str:
    """Gives where the results are that a tenant asks for; another's are not there."""
    context, identity = context_of(request), identity_of(request)
    if scan is not None and dataset is None and context.scans is not None:
        dest = await asyncio.to_thread(context.scans.dest, identity, scan)
        if dest is not None:
            return dest
    if dataset is None or scan is not None:
        raise not_found("dataset or scan; give one as `dataset` or `scan`")
    return context.dataset(dataset, identity.tenant)
