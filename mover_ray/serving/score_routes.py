"""`POST /v1/score` and the jobs that it leaves behind."""

import secrets
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.requests import Request

from mover_ray.serving.audit import note
from mover_ray.serving.context import context_of, identity_of
from mover_ray.serving.documents import VideoResult
from mover_ray.serving.engine import Task
from mover_ray.serving.jobs import FAILED, Job
from mover_ray.serving.openapi import problems
from mover_ray.serving.problems import not_found
from mover_ray.serving.score_service import problem_of
from mover_ray.serving.uploads import StoredVideoBody, read_video

router = APIRouter(tags=["score"])

_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {
                "schema": StoredVideoBody.model_json_schema(),
                "example": {"uri": "s3://uploads/2026/clip.mp4"},
            },
        },
    }
}


class JobDocument(BaseModel):
    """A scoring that takes longer than its request."""

    job_id: str
    state: Literal["running", "succeeded", "failed"]
    created_at: str
    result: VideoResult | None = None
    problem: dict[str, Any] | None = Field(default=None, description="Why it failed.")


@router.post(
    "/v1/score",
    summary="Score one video",
    response_model=None,
    responses={
        200: {"model": VideoResult, "description": "The result, also where there is no score."},
        202: {"model": JobDocument, "description": "It takes longer; ask for the job."},
        **problems(400, 403, 404, 408, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra=_BODY,
)
async def score(
    request: Request,
    model: Annotated[str | None, Query(description="A name from `/v1/models`.")] = None,
    masks: Annotated[
        Literal["none", "top", "all"],
        Query(description="Masks of no frame, of the 3 most suspicious of each face, or of all."),
    ] = "none",
    prefer: Annotated[
        str | None, Header(description="`respond-async` answers at once with a job.")
    ] = None,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="The same key scores only once."),
    ] = None,
) -> Response:
    """Give the probability that a face in the video was manipulated, and where.

    The video comes as the field `file` of a form, or by its `uri`. Videos that take long are
    answered with 202 and a job.
    """
    context, identity = context_of(request), identity_of(request)
    chosen = context.model(model)
    slot = context.scoring.admit()
    started = False
    try:
        task = Task(await read_video(request), chosen, masks, secrets.token_hex(16))
        ticket = await context.scoring.start(slot, identity.tenant, task, idempotency_key)
        started = True
    finally:
        if not started:
            slot.release()
    note(job_id=ticket.job.job_id, model=chosen.model_id)
    if _wants_async(prefer):
        await context.scoring.keep(ticket)
        return _accepted(ticket.job)
    return _answer(await context.scoring.outcome(ticket, context.config.limits.wait_s))


@router.get(
    "/v1/jobs/{job_id}",
    summary="Ask for a scoring",
    response_model=JobDocument,
    responses=problems(404, 422, 429, 500),
)
async def job(request: Request, job_id: str) -> JSONResponse:
    """Give a job that `POST /v1/score` left behind, with its result once there is one."""
    found = await context_of(request).scoring.find(identity_of(request).tenant, job_id)
    if found is None:
        raise not_found("job")
    return JSONResponse(_document(found), headers=_waiting(found))


def _wants_async(prefer: str | None) -> bool:
    wishes = (wish.partition(";")[0].strip().lower() for wish in (prefer or "").split(","))
    return "respond-async" in wishes


def _answer(job: Job) -> JSONResponse:
    if job.state == FAILED:
        raise problem_of(job)
    if job.result is not None:
        return JSONResponse(job.result)
    return _accepted(job)


def _accepted(job: Job) -> JSONResponse:
    headers = {"Location": f"/v1/jobs/{job.job_id}", "Retry-After": "1"}
    return JSONResponse(_document(job), 202, headers)


def _document(job: Job) -> dict[str, Any]:
    problem = None if job.problem is None else {**job.problem}
    if problem is not None:
        problem.pop("headers", None)
    return {
        "job_id": job.job_id,
        "state": job.state,
        "created_at": job.created_at,
        "result": job.result,
        "problem": problem,
    }


def _waiting(job: Job) -> dict[str, str]:
    return {} if job.ended else {"Retry-After": "1"}
