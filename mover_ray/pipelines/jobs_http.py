"""Requests to a cluster's Jobs API, and what its refusals mean."""

import json
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from mover_ray.errors import ConfigError, LocationError
from mover_ray.pipelines.jobs_config import JobsConfig, read_token

_ACCESS_HINT = (
    "put the cluster's token into RAY_AUTH_TOKEN, or name its file in RAY_AUTH_TOKEN_PATH or"
    " `jobs.token_file`; `ray get-auth-token` on the head node shows it"
)


class NoAnswerError(LocationError):
    """Nobody answers at the address, or not in time; it may pass."""


class JobsHttp:
    """One Jobs API.

    Ray's own client asks without a time limit, and its environment variables
    overrule the address that it is given.
    """

    def __init__(self, address: str, config: JobsConfig) -> None:
        """Asks nothing yet.

        Args:
            address: `http(s)://host:port`, perhaps with a path, without a slash at the end.
            config: Token, certificates and time limit.

        Raises:
            ConfigError: The token or the certificates cannot be read.
        """
        self.address = address
        self._token = read_token(config)
        try:
            self._pool = urllib3.PoolManager(
                timeout=config.timeout_s,
                retries=urllib3.Retry(
                    3, connect=0, backoff_factor=0.5, status_forcelist=(502, 503, 504)
                ),
                ca_certs=config.ca_file,
            )
            self._pool.connection_from_url(address)
        except (HTTPError, OSError, ValueError) as error:
            raise ConfigError(f"not the address of a Jobs API: `{address}`: {error}") from error

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def get(self, path: str) -> Any:
        """Gives the answer's document.

        Raises:
            NoAnswerError: Nobody answers.
            LocationError: Access is refused, or there is no such thing.
        """
        return self._document(self._ask("GET", path))

    def post(self, path: str, document: Any = None) -> Any:
        """Sends a document and gives the answer's.

        Raises:
            LocationError: As for `get`; a refusal's own words are in the message.
        """
        return self._document(self._ask("POST", path, json=document))

    def exists(self, path: str) -> bool:
        """Says whether there is something at a path; raises `LocationError` as `get` does."""
        response = self._ask("GET", path)
        if response.status == 404:
            return False
        self._check(response)
        return True

    def put(self, path: str, content: bytes) -> None:
        """Stores bytes; raises `LocationError` as `get` does."""
        self._check(self._ask("PUT", path, body=content))

    def _ask(self, method: str, path: str, **content: Any) -> urllib3.BaseHTTPResponse:
        url = f"{self.address}{path}"
        try:
            return self._pool.request(method, url, headers=self.headers, **content)
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, SSLError):
                raise LocationError(
                    f"the certificate is not trusted: `{self.address}`: {reason}",
                    hint="name the certificates of its authority in `jobs.ca_file`",
                ) from error
            raise NoAnswerError(
                f"no Jobs API answers at: `{self.address}`",
                hint="is the address right, and does the head node's dashboard run?"
                " `ray start --head` serves it on port 8265",
            ) from error

    def _check(self, response: urllib3.BaseHTTPResponse) -> None:
        if response.status == 200:
            return
        if response.status == 401:
            raise LocationError(
                f"the cluster asks for a token: `{self.address}`", hint=_ACCESS_HINT
            )
        if response.status == 403:
            raise LocationError(
                f"the cluster refuses the token: `{self.address}`", hint=_ACCESS_HINT
            )
        raise LocationError(
            f"the Jobs API refuses with {response.status}: `{self.address}`: {_reason(response)}"
        )

    def _document(self, response: urllib3.BaseHTTPResponse) -> Any:
        self._check(response)
        try:
            return json.loads(response.data)
        except ValueError as error:
            raise LocationError(
                f"no Jobs API answers at: `{self.address}`: what came is no JSON",
                hint="name the address of the head node's dashboard",
            ) from error


def _reason(response: urllib3.BaseHTTPResponse) -> str:
    """Gives the last line of a refusal: above it Ray sends its own traceback."""
    lines = response.data.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason is given"
