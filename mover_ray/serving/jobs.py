"""Scorings that outlast their request, and keys that make a request count once.

Both are small documents in a store that all ingress replicas share. A job's address holds a
hash of its tenant, so that nobody finds the job of another.
"""

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from mover_ray.errors import PreconditionFailed, StorageError
from mover_ray.status import Status
from mover_ray.storage import join, storage_for

RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

_JOB_ID_HEX: Final = 32
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One scoring as it is kept."""

    job_id: str
    state: str
    created_at: str
    deadline: float
    """Seconds since 1970; a job that runs past it was lost with its replica."""
    result: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.state != RUNNING


def new_job(lifetime_s: float) -> Job:
    """Gives a job that runs, under a random id."""
    return Job(
        job_id=secrets.token_hex(_JOB_ID_HEX // 2),
        state=RUNNING,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        deadline=time.time() + lifetime_s,
    )


class JobBook:
    """Jobs and idempotency keys in a store."""

    def __init__(self, base: str) -> None:
        """Names the folder or prefix; it need not exist."""
        self._base = base
        self._storage = storage_for(base)

    async def save(self, tenant: str, job: Job) -> None:
        """Writes a job as it is now."""
        data = json.dumps(asdict(job)).encode()
        await asyncio.to_thread(self._storage.write, self._job_uri(tenant, job.job_id), data)

    async def remove(self, tenant: str, job_id: str) -> None:
        """Removes a job."""
        await asyncio.to_thread(self._storage.delete, self._job_uri(tenant, job_id))

    async def find(self, tenant: str, job_id: str) -> Job | None:
        """Gives a tenant's job; None for any other."""
        if len(job_id) != _JOB_ID_HEX or not set(job_id) <= set("0123456789abcdef"):
            return None
        document = await self._read(self._job_uri(tenant, job_id))
        if document is None:
            return None
        job = Job(**document)
        if not job.ended and time.time() > job.deadline:
            problem = {"code": "lost", "status": 503, "detail": "the replica that had it is gone"}
            return replace(job, state=FAILED, problem=problem)
        return job

    async def claim(self, tenant: str, key: str, fingerprint: str, job_id: str) -> tuple[str, str]:
        """Binds an idempotency key to a request, unless it is bound already.

        Returns:
            The fingerprint and the job that the key is bound to: these ones, or earlier ones.
        """
        uri = self._key_uri(tenant, key)
        data = json.dumps({"fingerprint": fingerprint, "job_id": job_id}).encode()
        while True:
            try:
                await asyncio.to_thread(self._storage.write, uri, data, if_absent=True)
            except PreconditionFailed:
                document = await self._read(uri)
                if document is not None:  # else it was released in between
                    return document["fingerprint"], document["job_id"]
            else:
                return fingerprint, job_id

    async def release(self, tenant: str, key: str) -> None:
        """Lets a key be used again."""
        await asyncio.to_thread(self._storage.delete, self._key_uri(tenant, key))

    async def forget_old(self, keep_s: float) -> None:
        """Removes what was last written longer ago than that."""
        await asyncio.to_thread(self._forget_old, keep_s)

    def _forget_old(self, keep_s: float) -> None:
        oldest_ns = (time.time() - keep_s) * 1e9
        for info in self._storage.list(self._base):
            if info.mtime_ns is not None and info.mtime_ns < oldest_ns:
                self._storage.delete(info.uri)

    async def _read(self, uri: str) -> dict[str, Any] | None:
        try:
            return dict(json.loads(await asyncio.to_thread(self._storage.read, uri)))
        except StorageError as error:
            if error.status is Status.NOT_FOUND:
                return None
            raise

    def _job_uri(self, tenant: str, job_id: str) -> str:
        return join(self._base, "jobs", _hash(tenant), f"{job_id}.json")

    def _key_uri(self, tenant: str, key: str) -> str:
        return join(self._base, "keys", _hash(tenant), f"{_hash(key)}.json")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
