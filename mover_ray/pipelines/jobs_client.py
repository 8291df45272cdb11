"""Jobs on a cluster: submitted, found again, followed, stopped, through Ray's Jobs API.

A job carries its own description in the metadata that Ray keeps with it, so that
whoever can list jobs can say what each does and submit it again.
"""

import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from mover_ray.config import suggest
from mover_ray.errors import ConfigError, LocationError
from mover_ray.pipelines.jobs_config import JobsConfig
from mover_ray.pipelines.jobs_http import JobsHttp
from mover_ray.pipelines.jobs_spec import ENTRY_POINTS, JobSpec, base_id
from mover_ray.provenance import sha256_bytes

#: States that a job does not leave again.
ENDED: Final = frozenset({"succeeded", "failed", "stopped"})
STATES: Final = ("pending", "running", *sorted(ENDED))

_PATH: Final = "/api/jobs/"
_KEY: Final = "mover_ray."
_LABEL: Final = "mover_ray.label."

#: What Ray's refusals say, which all have the same status.
_TAKEN: Final = "already exists"
_NOT_YET: Final = "No available agent"

#: A head node answers a minute before it can take jobs.
_START_S: Final = 90.0
_AGAIN_S: Final = 2.0

_LABEL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """What the cluster says of one job."""

    job_id: str
    """`base_id` and the attempt: the name under which Ray knows it."""
    base_id: str
    """The same for every attempt of one submission."""
    attempt: int
    """1 for the first."""
    command: str
    """Key of `jobs_spec.ENTRY_POINTS`."""
    state: str
    """One of `STATES`."""
    labels: Mapping[str, str]
    """As they were given."""
    options: Mapping[str, Any]
    """What the command was asked to do, as its entry point reads it."""
    started_s: float | None
    """When it was accepted, in seconds since 1970."""
    ended_s: float | None
    """When it ended."""
    exit_code: int | None
    """Of its process, once that has ended by itself."""
    message: str
    """What Ray says of it."""
    code: str | None
    """The wheel that it runs, as the cluster names it; None for what is installed there."""

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in ENDED

    @property
    def spec(self) -> JobSpec:
        """What it does."""
        return JobSpec(self.command, self.options)

    def as_json(self) -> dict[str, Any]:
        """Gives the document that `--json` prints."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a submission."""

    job: JobRecord
    is_new: bool
    """False where the same job was there already."""


class JobsClient:
    """The jobs of one cluster. Several threads may use it."""

    def __init__(self, address: str, config: JobsConfig | None = None) -> None:
        """Asks nothing yet.

        Args:
            address: `http(s)://host:port` of the head node's dashboard.
            config: Token, certificates, time limits, and what jobs take with them.

        Raises:
            ConfigError: The token or the certificates cannot be read.
        """
        self.address = address
        self._config = config or JobsConfig()
        self._http = JobsHttp(address, self._config)

    def submit(
        self,
        spec: JobSpec,
        mark: str,
        labels: Mapping[str, str] | None = None,
        *,
        again: bool = False,
    ) -> Submission:
        """Starts a job, unless the same one runs or has succeeded.

        Args:
            spec: What is to be done.
            mark: What stands for the input; see `jobs_spec.mark_of_source`.
            labels: Further labels.
            again: Start another attempt although one has succeeded.

        Raises:
            ConfigError: A label is misspelt, or the wheel cannot be read.
            LocationError: The cluster does not answer or refuses.
        """
        labels = checked_labels({**self._config.labels, **(labels or {})})
        code = self._upload_wheel()
        base = base_id(spec, mark, code or "")
        last = self._newest(base)
        if last is not None and not (last.state in ("failed", "stopped") or (again and last.ended)):
            return Submission(last, is_new=False)
        return self._start(spec, base, last.attempt + 1 if last else 1, labels, code)

    def resume(self, job_id: str) -> Submission:
        """Starts the next attempt of a job that failed or was stopped.

        Raises:
            ConfigError: It has succeeded.
            LocationError: There is no such job, or the cluster refuses.
        """
        job = self.find(job_id)
        job = self._newest(job.base_id) or job
        if job.state == "succeeded":
            raise ConfigError(
                f"the job has succeeded: `{job.job_id}`",
                hint="submit it again to look at what is new in its source",
            )
        if not job.ended:
            return Submission(job, is_new=False)
        code = self._upload_wheel() or job.code
        return self._start(job.spec.resumed(), job.base_id, job.attempt + 1, job.labels, code)

    def jobs(self) -> list[JobRecord]:
        """Lists every job of mover-ray that the cluster remembers, the newest first."""
        records = (_record(details) for details in self._http.get(_PATH))
        found = [record for record in records if record is not None]
        return sorted(found, key=lambda record: record.started_s or 0.0, reverse=True)

    def find(self, name: str) -> JobRecord:
        """Gives a job by its id, or the newest attempt by what all attempts share.

        Raises:
            LocationError: There is no such job, or several begin like that.
        """
        jobs = self.jobs()
        for one in jobs:
            if name in (one.job_id, one.base_id):
                return one
        alike = {one.base_id for one in jobs if one.job_id.startswith(name)}
        if len(alike) == 1:
            return next(one for one in jobs if one.job_id.startswith(name))
        if alike:
            raise LocationError(f"several jobs begin with: `{name}`", hint=", ".join(sorted(alike)))
        hint = suggest(name, [one.job_id for one in jobs[:5]]) if jobs else "the cluster has no job"
        raise LocationError(f"no such job: `{name}`", hint=hint)

    def stop(self, job_id: str) -> bool:
        """Asks a job to commit what is under way and to end; gives whether it was running."""
        return bool(self._http.post(f"{_PATH}{job_id}/stop")["stopped"])

    def log(self, job_id: str) -> str:
        """Gives what a job has printed and logged so far."""
        return str(self._http.get(f"{_PATH}{job_id}/logs")["logs"] or "")

    def follow(self, job_id: str, skip: int = 0) -> Iterator[str]:
        """Gives a job's log piece by piece until the job ends.

        Args:
            job_id: The job.
            skip: Characters at the beginning that are left out.
        """
        from mover_ray.pipelines.jobs_logs import follow_log  # aiohttp takes a second to import

        address = f"{self.address}{_PATH}{job_id}/logs/tail"
        return follow_log(address, self._http.headers, self._config.ca_file, skip)

    def nodes(self) -> list[dict[str, Any]]:
        """Gives what the cluster's dashboard says of each node, unread."""
        return list(self._http.get("/nodes?view=summary")["data"]["summary"])

    def _newest(self, base: str) -> JobRecord | None:
        attempts = [one for one in self.jobs() if one.base_id == base]
        return max(attempts, key=lambda one: one.attempt, default=None)

    def _start(
        self, spec: JobSpec, base: str, attempt: int, labels: Mapping[str, str], code: str | None
    ) -> Submission:
        job_id = f"{base}-{attempt}"
        facts = {
            "command": spec.command,
            "base_id": base,
            "attempt": str(attempt),
            "options": spec.text(),
            **({"code": code} if code else {}),
        }
        request = {
            "submission_id": job_id,
            "entrypoint": self._entrypoint(spec),
            "runtime_env": self._runtime_env(code),
            "metadata": {f"{_KEY}{name}": value for name, value in facts.items()}
            | {f"{_LABEL}{name}": value for name, value in labels.items()},
            "entrypoint_num_cpus": self._config.driver_cpus or None,
        }
        chosen = {name: value for name, value in request.items() if value is not None}
        is_new = self._post(chosen)
        return Submission(self.find(job_id), is_new=is_new)

    def _post(self, request: Mapping[str, Any]) -> bool:
        """Sends a new job; gives False where somebody else was quicker with the same one."""
        end = time.monotonic() + _START_S
        while True:
            try:
                self._http.post(_PATH, request)
            except LocationError as error:
                if _TAKEN in str(error):
                    return False
                if _NOT_YET not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(_AGAIN_S)
            else:
                return True

    def _entrypoint(self, spec: JobSpec) -> str:
        module = f"mover_ray.jobs.{ENTRY_POINTS[spec.command]}"
        return shlex.join([self._config.python, "-m", module, spec.text()])

    def _runtime_env(self, code: str | None) -> dict[str, Any]:
        """Gives the environment of a job: never the folder of whoever submits it."""
        env = {**self._config.env, "RAY_JOB_STOP_WAIT_TIME_S": str(self._config.stop_s)}
        return {"env_vars": env, **({"working_dir": code} if code else {})}

    def _upload_wheel(self) -> str | None:
        """Puts the wheel where every node finds it; gives its name there.

        A wheel is a zip archive with the package at its top: unpacked as a job's
        working directory it comes before what the image has installed, and needs
        no installer and no network.
        """
        if self._config.wheel is None:
            return None
        path = Path(self._config.wheel)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"the wheel cannot be read: `{path}`: {error.strerror}") from error
        if path.suffix != ".whl":
            raise ConfigError(f"not a wheel: `{path}`", hint="`python -m build --wheel` makes one")
        name = f"_ray_pkg_{sha256_bytes(content)[:16]}.zip"
        if not self._http.exists(f"/api/packages/gcs/{name}"):
            self._http.put(f"/api/packages/gcs/{name}", content)
        return f"gcs://{name}"


def checked_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Gives the labels; a name that is no label's raises `ConfigError`."""
    for name in labels:
        if not _LABEL_NAME.fullmatch(name):
            raise ConfigError(
                f"not a label: `{name}`", hint="a-z, 0-9, `.`, `_` and `-`, such as team=trust"
            )
    return dict(labels)


def _record(details: Mapping[str, Any]) -> JobRecord | None:
    """Reads what Ray says of a job; None where it is no job of mover-ray."""
    metadata = details.get("metadata") or {}
    base = metadata.get(f"{_KEY}base_id")
    if base is None or details.get("submission_id") is None:
        return None
    return JobRecord(
        job_id=details["submission_id"],
        base_id=base,
        attempt=int(metadata[f"{_KEY}attempt"]),
        command=metadata[f"{_KEY}command"],
        state=details["status"].lower(),
        labels={
            name.removeprefix(_LABEL): value
            for name, value in sorted(metadata.items())
            if name.startswith(_LABEL)
        },
        options=json.loads(metadata[f"{_KEY}options"]),
        started_s=_seconds(details.get("start_time")),
        ended_s=_seconds(details.get("end_time")),
        exit_code=details.get("driver_exit_code"),
        message=details.get("message") or "",
        code=metadata.get(f"{_KEY}code"),
    )


def _seconds(milliseconds: int | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None
