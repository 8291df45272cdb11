"""What every route works with, and how a route gets hold of it."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

from starlette.requests import Request

from mover_ray.serving.config import TENANT, ServeConfig
from mover_ray.serving.engine import Engine
from mover_ray.serving.gate import IDENTITY
from mover_ray.serving.identity import Identity
from mover_ray.serving.metrics import Metrics
from mover_ray.serving.problems import Problem, not_found
from mover_ray.serving.scans import ScanService
from mover_ray.serving.score_service import ScoreService
from mover_ray.serving.served_models import ModelRef
from mover_ray.serving.videos import allowed_uri


@dataclass(slots=True)
class Context:
    """The parts of the application."""

    config: ServeConfig
    models: dict[str, ModelRef]
    engine: Engine
    scoring: ScoreService
    scans: ScanService | None
    """None where the service may not submit any."""
    metrics: Metrics
    loaded: bool = False
    """Whether the models are in memory."""

    def model(self, name: str | None) -> ModelRef:
        """Gives a model by its name, the default one without.

        Raises:
            Problem: There is none of that name.
        """
        found = self.models.get(name or self.config.default_model)
        if found is None:
            raise not_found("model")
        return found

    def check_uri(self, uri: str, tenant: str) -> None:
        """Raises a `Problem` (403) for a uri outside what the tenant may name."""
        if not allowed_uri(uri, self.config.uri_prefixes, tenant):
            detail = "the uri is outside the prefixes that are allowed"
            raise Problem(HTTPStatus.FORBIDDEN, "uri_not_allowed", detail)

    def dataset(self, name: str, tenant: str) -> str:
        """Gives where a dataset of results lies.

        Raises:
            Problem: There is none of that name.
        """
        if name not in self.config.datasets:
            raise not_found("dataset")
        return self.config.datasets[name].replace(TENANT, tenant)


def context_of(request: Request) -> Context:
    """Gives the application's parts to a route."""
    return cast("Context", request.app.state.context)


def identity_of(request: Request) -> Identity:
    """Gives who asks; the gate has made sure of it."""
    return cast("Identity", request.scope[IDENTITY])
