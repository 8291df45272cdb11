"""Scorings from their admission to their answer, and what is kept of those that take long."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final

from mover_ray.serving.config import LimitsConfig
from mover_ray.serving.documents import result_document
from mover_ray.serving.engine import BusyError, Engine, LostError, Task
from mover_ray.serving.jobs import FAILED, SUCCEEDED, Job, JobBook, new_job
from mover_ray.serving.problems import Problem, too_busy, unavailable

_POLL_S: Final = 0.25
_logger = logging.getLogger(__name__)


class Slot:
    """The right to one of the scorings that may be under way; given back once."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        """Takes what to call at the end."""
        self._give_back: Callable[[], None] | None = give_back

    def release(self) -> None:
        """Gives it back."""
        if self._give_back is not None:
            self._give_back()
            self._give_back = None


@dataclass(slots=True)
class Ticket:
    """A scoring that somebody waits for."""

    tenant: str
    job: Job
    """As it is now."""
    task: "asyncio.Task[None] | None" = None
    """The work; None where it began with an earlier request, perhaps in another replica."""
    key: str | None = None
    """The idempotency key that the job is bound to."""
    kept: bool = False
    """Whether the job can be asked for later."""
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)


class ScoreService:
    """Admits, runs and remembers scorings."""

    def __init__(self, engine: Engine, book: JobBook, limits: LimitsConfig) -> None:
        """Takes who does the work and where jobs are kept."""
        self._engine = engine
        self._book = book
        self._limits = limits
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.in_flight = 0

    def admit(self) -> Slot:
        """Gives a slot, before anything is read of the request.

        Raises:
            Problem: 429, all are taken; 503, the service is about to end.
        """
        if self._stopping:
            raise unavailable("the service is being stopped", self._limits.retry_after_s)
        if self.in_flight >= self._limits.in_flight:
            raise too_busy("too many videos are being scored", self._limits.retry_after_s)
        self.in_flight += 1
        return Slot(self._leave)

    async def start(self, slot: Slot, tenant: str, task: Task, key: str | None) -> Ticket:
        """Begins a scoring, or finds the one that the same key began before.

        Args:
            slot: Goes back when the work ends.
            tenant: Owns the job and the key.
            task: What to score.
            key: The request's `Idempotency-Key`.

        Raises:
            Problem: 422, the key belongs to another request.
        """
        job = replace(new_job(self._limits.job_s), job_id=task.run_id)
        ticket = Ticket(tenant, job, key=key, kept=key is not None)
        if key is not None:
            await self._save(ticket)  # before the key leads to it
            earlier = await self._earlier(ticket, _fingerprint(task))
            if earlier is not None:
                slot.release()
                await self._book.remove(tenant, job.job_id)
                return earlier
        ticket.task = asyncio.create_task(self._work(ticket, task, slot))
        self._running.add(ticket.task)
        ticket.task.add_done_callback(self._running.discard)
        return ticket

    async def outcome(self, ticket: Ticket, wait_s: float) -> Job:
        """Gives the job when it has ended or `wait_s` are over; from then on it is kept."""
        try:
            if ticket.task is None:
                await self._wait_for_another(ticket, wait_s)
            else:
                await asyncio.wait([ticket.task], timeout=wait_s)
        except asyncio.CancelledError:  # the client has hung up
            if ticket.task is not None and not ticket.kept:
                ticket.task.cancel()
            raise
        if not ticket.job.ended:
            await self.keep(ticket)
        return ticket.job

    async def keep(self, ticket: Ticket) -> None:
        """Sees to it that a job can be asked for later, however soon it ends."""
        if not ticket.kept:
            ticket.kept = True
            await self._save(ticket)

    async def find(self, tenant: str, job_id: str) -> Job | None:
        """Gives a kept job of a tenant."""
        return await self._book.find(tenant, job_id)

    async def drain(self, longest_s: float) -> None:
        """Admits nothing more, and waits until everything under way has ended."""
        self._stopping = True
        if self._running:
            await asyncio.wait(self._running, timeout=longest_s)

    def _leave(self) -> None:
        self.in_flight -= 1

    async def _earlier(self, ticket: Ticket, fingerprint: str) -> Ticket | None:
        """Gives the job that a key is bound to; None once it is bound to this one."""
        tenant, key = ticket.tenant, str(ticket.key)
        while True:
            bound, job_id = await self._book.claim(tenant, key, fingerprint, ticket.job.job_id)
            if bound != fingerprint:
                detail = "this Idempotency-Key was used with another request"
                status = HTTPStatus.UNPROCESSABLE_ENTITY
                raise Problem(status, "idempotency_key_reused", detail)
            if job_id == ticket.job.job_id:
                return None
            job = await self._book.find(tenant, job_id)
            if job is not None and job.state != FAILED:
                return Ticket(tenant, job, key=key, kept=True)
            await self._book.release(tenant, key)  # it was lost: the next one may try

    async def _wait_for_another(self, ticket: Ticket, wait_s: float) -> None:
        end = time.monotonic() + wait_s
        while not ticket.job.ended and time.monotonic() < end:
            await asyncio.sleep(_POLL_S)
            found = await self._book.find(ticket.tenant, ticket.job.job_id)
            ticket.job = found or ticket.job

    async def _work(self, ticket: Ticket, task: Task, slot: Slot) -> None:
        try:
            problem = None
            async with asyncio.timeout(self._limits.job_s):
                row = await self._engine.score(task)
            ticket.job = replace(ticket.job, state=SUCCEEDED, result=result_document(row))
        except BusyError:
            problem = too_busy("every queue is full", self._limits.retry_after_s)
        except LostError:
            problem = unavailable("the worker was lost", self._limits.retry_after_s)
        except TimeoutError:
            problem = unavailable("scoring takes too long", self._limits.retry_after_s)
        except Exception:
            _logger.exception("job_id=%s failed", ticket.job.job_id)
            problem = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "scoring failed")
        finally:
            slot.release()
        if problem is not None:
            ticket.job = replace(ticket.job, state=FAILED, problem=_as_json(problem))
        if ticket.kept:
            await self._save(ticket)

    async def _save(self, ticket: Ticket) -> None:
        async with ticket.saving:  # whoever comes last writes what is true by then
            await self._book.save(ticket.tenant, ticket.job)


def problem_of(job: Job) -> Problem:
    """Gives why a job failed as the answer to a request."""
    said: dict[str, Any] = job.problem or {}
    status = HTTPStatus(said["status"])
    return Problem(status, said["code"], said["detail"], headers=said.get("headers"))


def _as_json(problem: Problem) -> dict[str, Any]:
    return {
        "status": problem.status_code,
        "code": problem.code,
        "detail": problem.detail,
        "headers": dict(problem.headers or {}),
    }


def _fingerprint(task: Task) -> str:
    facts = f"{task.video.fingerprint}\0{task.model.key}\0{task.masks}"
    return hashlib.sha256(facts.encode()).hexdigest()
