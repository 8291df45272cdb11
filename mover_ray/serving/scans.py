"""Archive jobs: the same as `mover-ray jobs submit score`, each the property of a tenant."""

import contextlib
import hashlib
import logging
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mover_ray.config import Settings
from mover_ray.errors import LocationError
from mover_ray.pipelines.jobs_client import JobRecord, JobsClient
from mover_ray.pipelines.jobs_config import JobsConfig
from mover_ray.pipelines.jobs_progress import read_progress
from mover_ray.pipelines.jobs_spec import make_spec
from mover_ray.pipelines.score import ScoreOptions
from mover_ray.serving.config import TENANT, ServeConfig
from mover_ray.serving.identity import Identity
from mover_ray.serving.problems import unavailable
from mover_ray.serving.served_models import ModelRef
from mover_ray.storage import join

_logger = logging.getLogger(__name__)

_TENANT_LABEL: Final = "tenant"
_RETRY_AFTER_S: Final = 10
_SECRET: Final = "sampling_secret"  # noqa: S105 # the setting's name


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanOrder:
    """What a client asks to be scanned."""

    source: str
    """A prefix within the allow-list."""
    model: ModelRef
    masks: str = "top"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: int | None = None


class ScanService:
    """Submits, shows and stops scans. Blocking: call it in a thread."""

    def __init__(self, config: ServeConfig) -> None:
        """Names the cluster; nothing is asked of it yet."""
        self._client = JobsClient(config.scans.address, JobsConfig())
        self._dest = config.scans.dest
        self._allow_untrained = config.allow_untrained
        self._settings = _without_secret(config.settings)

    def submit(self, tenant: str, order: ScanOrder, key: str | None) -> dict[str, Any]:
        """Starts a scan; with a key that was used before it gives that scan.

        Raises:
            Problem: 503, the cluster does not answer.
        """
        mark = _hash(f"{tenant}\0{key}") if key else secrets.token_hex(16)
        options = ScoreOptions(
            source=order.source,
            dest=join(self._dest.replace(TENANT, tenant).rstrip("/"), mark[:32]),
            model=order.model.path,
            masks=order.masks,
            include=order.include,
            exclude=order.exclude,
            limit=order.limit,
            allow_untrained=self._allow_untrained,
            settings=self._settings,
        )
        labels = {_TENANT_LABEL: _label(tenant)}
        spec = make_spec("score", options)
        with _cluster_answers():
            return _document(self._client.submit(spec, mark, labels=labels).job)

    def list(self, identity: Identity) -> list[dict[str, Any]]:
        """Gives a tenant's scans, the newest first."""
        with _cluster_answers():
            return [_document(job) for job in self._client.jobs() if _is_own(job, identity)]

    def find(self, identity: Identity, scan_id: str) -> dict[str, Any] | None:
        """Gives a scan with its progress; None where it is not there or another's."""
        job = self._find(identity, scan_id)
        if job is None:
            return None
        progress = read_progress(str(job.options["dest"]))
        return {**_document(job), "progress": progress.as_json() if progress else None}

    def dest(self, identity: Identity, scan_id: str) -> str | None:
        """Gives where a scan's results are; None where it is not there or another's."""
        job = self._find(identity, scan_id)
        return None if job is None else str(job.options["dest"])

    def stop(self, identity: Identity, scan_id: str) -> dict[str, Any] | None:
        """Asks a scan to commit what it has and end; an administrator may stop anybody's."""
        job = self._find(identity, scan_id, anybodys="admin" in identity.scopes)
        if job is None:
            return None
        with _cluster_answers():
            if not job.ended:
                self._client.stop(job.job_id)
            return _document(self._client.find(job.job_id))

    def _find(
        self, identity: Identity, scan_id: str, *, anybodys: bool = False
    ) -> JobRecord | None:
        with _cluster_answers():
            job = next((job for job in self._client.jobs() if job.job_id == scan_id), None)
        if job is None or job.command != "score":
            return None
        return job if anybodys or _is_own(job, identity) else None


@contextlib.contextmanager
def _cluster_answers() -> Iterator[None]:
    """Tells the client to ask again where the cluster does not answer, and nothing of why."""
    try:
        yield
    except LocationError as error:
        _logger.warning("the cluster for scans: %s", error)
        raise unavailable("the cluster does not answer", _RETRY_AFTER_S) from error


def _is_own(job: JobRecord, identity: Identity) -> bool:
    return job.labels.get(_TENANT_LABEL) == _label(identity.tenant)


def _document(job: JobRecord) -> dict[str, Any]:
    return {
        "scan_id": job.job_id,
        "state": job.state,
        "source": job.options.get("source"),
        "dest": job.options.get("dest"),
        "started_at": _time(job.started_s),
        "ended_at": _time(job.ended_s),
        "exit_code": job.exit_code,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _without_secret(settings: Mapping[str, Any]) -> Settings:
    """A job's options can be read by whoever may list jobs; its nodes know the secret."""
    return {name: value for name, value in settings.items() if name != _SECRET}


def _label(tenant: str) -> str:
    """Labels know fewer letters than names of tenants."""
    return _hash(tenant)[:32]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
