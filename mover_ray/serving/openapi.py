"""What the OpenAPI document says beside the routes' own words."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from mover_ray.serving.documents import Problem
from mover_ray.serving.problems import MEDIA_TYPE

_MEANING: Final = {
    400: "The request cannot be read.",
    401: "No valid key or token.",
    403: "The key or token does not allow it.",
    404: "Not there, or not yours.",
    405: "Not this method.",
    408: "The body came too slowly.",
    409: "It conflicts with something that runs.",
    413: "The body is too large.",
    415: "Not a form and not JSON.",
    422: "Parameters or body are not valid.",
    429: "Too many requests; `Retry-After` says when to try again.",
    500: "A fault of the service; it is logged under `Mover-Ray-Request-Id`.",
    503: "Lost on the way; the same request may be sent again.",
}
_OPEN: Final = ("/healthz", "/readyz")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Gives the responses of a route that are problem documents."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANING[status], "content": content} for status in statuses}


def describe(app: FastAPI) -> dict[str, Any]:
    """Gives the OpenAPI document: every route, the one way to authenticate, and its refusals."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    refusals = {str(status): said for status, said in problems(401, 403, 413, 429).items()}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if path not in _OPEN:
                operation["security"] = [{"bearer": []}]
                operation["responses"] = {**refusals, **operation["responses"]}
    return document
