"""A proxy before an HTTP server that does to single requests what networks do.

It leaves every header that is signed alone, so that the server behind it still
accepts the signature.
"""

import contextlib
import random
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Literal

_END_OF_HEAD = b"\r\n\r\n"

#: Between client and proxy, or proxy and server, alone; never signed.
_OWN_HEADERS = (b"expect:", b"connection:")

Kind = Literal["refuse", "reset", "cut", "flip", "hang", "lose_reply", "slow"]


@dataclass
class Fault:
    """What happens to the next requests of one method, or to a share of them."""

    kind: Kind
    """`refuse`: an error reply; `reset`: before the server sees the request; `cut`: the
    body ends at byte `value`; `flip`: that byte is altered; `hang`: silence for `value`
    seconds; `lose_reply`: reset after the server has answered; `slow`: `value` bytes of
    the reply a second."""
    value: float = 0
    times: int = 1
    method: str = "GET"
    status: int = 503
    code: str = "SlowDown"
    path: str = ""
    """Only requests whose path holds this."""
    share: float = 1.0
    """Chance of a request to be one of those that it happens to."""


class FaultProxy:
    """Listens on the loopback and serves one request a connection."""

    def __init__(self, port: int) -> None:
        """Starts before the server at `port` of the loopback."""
        self.upstream = ("127.0.0.1", port)
        self.requests: list[str] = []
        self.paths: list[str] = []
        self.injected = 0
        self._chance = random.Random(0)
        self._per_path: int | None = None
        self._by_path: Counter[str] = Counter()
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    proxy._serve(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def inject(self, *faults: Fault, per_path: int | None = None) -> None:
        """Does these to the requests that come next, each as often as it says.

        Args:
            faults: The first one that fits a request counts.
            per_path: Faults in all that may happen to requests for one object, so that
                whoever tries once more often comes through.
        """
        with self._lock:
            self._faults = list(faults)
            self._per_path = per_path
            self._by_path.clear()
            self.injected = 0
            self.requests.clear()
            self.paths.clear()

    def stop(self) -> None:
        """Ends the listener; a request under way is left to its thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, client: socket.socket) -> None:
        head, body = _read_request(client)
        if not head:
            return
        method, path = head.decode().split(" ")[:2]
        fault = self._next_fault(method, path)
        if fault is None:
            client.sendall(self._forward(head, body))
        elif fault.kind == "refuse":
            client.sendall(_refusal(fault))
        elif fault.kind == "hang":
            time.sleep(fault.value)
        elif fault.kind == "reset":
            _reset(client)
        elif fault.kind == "lose_reply":
            self._forward(head, body)
            _reset(client)
        elif fault.kind == "slow":
            _send_slowly(client, self._forward(head, body), fault.value)
        else:
            client.sendall(_damaged(self._forward(head, body), fault))

    def _next_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append(method)
            self.paths.append(path)
            if self._per_path is not None and self._by_path[path] >= self._per_path:
                return None
            for fault in self._faults:
                fits = fault.method == method and fault.times > 0 and fault.path in path
                if fits and self._chance.random() < fault.share:
                    fault.times -= 1
                    self.injected += 1
                    self._by_path[path] += 1
                    return fault
        return None

    def _forward(self, head: bytes, body: bytes) -> bytes:
        with socket.create_connection(self.upstream) as server:
            server.sendall(_as_last_message(head) + body)
            reply = b"".join(iter(lambda: server.recv(1 << 16), b""))
        head, _, body = reply.partition(_END_OF_HEAD)
        return _as_last_message(head + _END_OF_HEAD) + body


def _read_request(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while _END_OF_HEAD not in data:
        received = client.recv(1 << 16)
        if not received:
            return b"", b""
        data += received
    head, _, body = data.partition(_END_OF_HEAD)
    if b"expect: 100-continue" in head.lower():
        client.sendall(b"HTTP/1.1 100 Continue" + _END_OF_HEAD)
    length = _content_length(head)
    while len(body) < length:
        body += client.recv(1 << 16)
    return head + _END_OF_HEAD, body


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _as_last_message(head: bytes) -> bytes:
    """Says that the connection ends after this message."""
    lines = head.removesuffix(_END_OF_HEAD).split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(_OWN_HEADERS)]
    return b"\r\n".join([*kept, b"Connection: close"]) + _END_OF_HEAD


def _refusal(fault: Fault) -> bytes:
    body = f"<Error><Code>{fault.code}</Code><Message>injected</Message></Error>"
    return (
        f"HTTP/1.1 {fault.status} {fault.code}\r\nContent-Type: application/xml\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()


def _send_slowly(client: socket.socket, reply: bytes, bytes_per_s: float) -> None:
    piece = max(1, int(bytes_per_s / 10))
    for start in range(0, len(reply), piece):
        client.sendall(reply[start : start + piece])
        time.sleep(0.1)


def _damaged(reply: bytes, fault: Fault) -> bytes:
    begin = reply.index(_END_OF_HEAD) + len(_END_OF_HEAD) + int(fault.value)
    if begin >= len(reply):
        return reply  # a shorter body than that
    if fault.kind == "cut":
        return reply[:begin]
    return reply[:begin] + bytes([reply[begin] ^ 0xFF]) + reply[begin + 1 :]


def _reset(client: socket.socket) -> None:
    """Makes the coming close a reset instead of an orderly end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
