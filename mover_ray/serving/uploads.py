"""Reads the video that a request brings or names."""

import json
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from mover_ray.serving.audit import note
from mover_ray.serving.context import context_of, identity_of
from mover_ray.serving.problems import Problem
from mover_ray.serving.videos import StoredVideo, UploadedVideo, Video

_MAX_JSON_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 8


class StoredVideoBody(BaseModel):
    """Names a video that the service can fetch."""

    model_config = ConfigDict(extra="forbid")

    uri: str = Field(
        max_length=2048,
        description="An object within the prefixes that the operator allows.",
        examples=["s3://uploads/2026/clip.mp4"],
    )


async def read_video(request: Request) -> Video:
    """Reads a body as multipart form or JSON.

    Raises:
        Problem: It is neither, incomplete, or names what may not be named.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _uploaded(request)
    if kind == "application/json":
        return await _stored(request)
    detail = "send `multipart/form-data` with a field `file`, or `application/json` with `uri`"
    raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


async def _uploaded(request: Request) -> UploadedVideo:
    """Takes the file out of a form; the parser keeps large ones in unnamed temporary files."""
    async with request.form(max_files=1, max_fields=_MAX_FIELDS) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise _invalid("the form has no file in its field `file`")
        video = UploadedVideo(await file.read())
    note(size_bytes=len(video.content), sha256=video.fingerprint)
    return video


async def _stored(request: Request) -> StoredVideo:
    text = b""
    async for piece in request.stream():
        text += piece
        if len(text) > _MAX_JSON_BYTES:
            detail = f"a JSON body may have {_MAX_JSON_BYTES} bytes"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail)
    try:
        body = StoredVideoBody.model_validate(json.loads(text))
    except ValidationError as error:
        said = "; ".join(f"{fault['loc']}: {fault['msg']}" for fault in error.errors()[:3])
        raise _invalid(said) from error
    except (ValueError, RecursionError) as error:
        raise _invalid("the body is no JSON") from error
    note(uri=body.uri)
    context_of(request).check_uri(body.uri, identity_of(request).tenant)
    return StoredVideo(body.uri)


def _invalid(detail: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail)
