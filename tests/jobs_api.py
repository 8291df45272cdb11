"""A stand-in for Ray's Jobs API, for what a real cluster cannot be made to answer quickly.

tests/operations/test_jobs_cluster.py holds the same client against the real one.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "token-of-the-cluster"  # noqa: S105


class JobsApi:
    """Keeps jobs in memory; a test moves them from state to state."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.packages: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.starting = 0
        self.fails_with: int | None = None
        self.log = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def end(self, job_id: str, status: str, exit_code: int | None = None) -> None:
        """Ends a job."""
        self.jobs[job_id] |= {
            "status": status, "end_time": self.jobs[job_id]["start_time"] + 61_000,
            "driver_exit_code": exit_code, "message": f"it has {status}",
        }  # fmt: skip

    def stop(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Gives status and document."""
        parts = path.removeprefix("/api/").strip("/").split("/")
        if parts[0] == "packages":
            return self._package(method, parts[-1], body)
        if path.startswith("/nodes"):
            return 404, "no such page"
        if method == "POST" and len(parts) == 1:
            return self._accept(json.loads(body))
        if len(parts) == 1:
            return 200, list(self.jobs.values())
        if parts[-1] == "stop":
            running = self.jobs[parts[1]]["status"] in ("PENDING", "RUNNING")
            self.end(parts[1], "STOPPED")
            return 200, {"stopped": running}
        return 200, {"logs": self.log}

    def _accept(self, request: dict[str, Any]) -> tuple[int, Any]:
        job_id = request["submission_id"]
        if self.starting:
            self.starting -= 1
            return 500, "No available agent to submit job, please try again later."
        if job_id in self.jobs:
            return 500, f"Traceback\nValueError: Job with submission_id {job_id} already exists."
        self.jobs[job_id] = {
            **request, "status": "RUNNING", "message": "", "type": "SUBMISSION",
            "start_time": 1_700_000_000_000 + 1000 * len(self.jobs), "end_time": None,
            "driver_exit_code": None,
        }  # fmt: skip
        return 200, {"submission_id": job_id}

    def _package(self, method: str, name: str, body: bytes) -> tuple[int, Any]:
        if method == "PUT":
            self.packages[name] = body
        return (200, "") if name in self.packages else (404, "no such package")


def _handler(api: JobsApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            api.requests.append(f"{self.command} {self.path}")
            sent = self.headers.get("Authorization")
            if sent != f"Bearer {TOKEN}":
                self._send(403 if sent else 401, "no")
            elif api.fails_with:
                self._send(api.fails_with, "Traceback\nRuntimeError: out of order")
            else:
                self._send(*api.answer(self.command, self.path, body))

        do_POST = do_PUT = do_GET

        def _send(self, status: int, content: Any) -> None:
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    return Handler
