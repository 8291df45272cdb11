"""The worker's side of the decode server: starts it, hands it videos, ends it."""

import contextlib
import socket
import subprocess
from typing import Final

from mover_ray.video.isolation import start_isolated
from mover_ray.video.protocol import Message, ProtocolError, receive_message, send_message

#: Importing PyAV and numpy takes 0.2 s on an idle core; a loaded node may need far longer.
_START_S: Final = 60.0
#: A server does nothing but wait, so that it answers at once or never.
_ANSWER_S: Final = 10.0


class ServerLostError(Exception):
    """The decode server has ended or does not answer; start another."""


class ServerProcess:
    """A running decode server."""

    def __init__(self, module: str) -> None:
        """Starts `module` in the sandbox and waits until it can fork.

        Raises:
            ServerLostError: It did not come up.
        """
        #: Whether the server has ended or does not answer, so that it cannot be used again.
        self.lost = False
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._process = start_isolated(module, theirs.fileno())
        self._control.settimeout(_START_S)
        try:
            self._receive("ready")
        except ServerLostError:
            self.close()
            raise
        self._control.settimeout(_ANSWER_S)

    def run(self, request: Message, descriptors: list[int]) -> None:
        """Has a child forked for one video.

        Raises:
            ServerLostError: The server is gone.
        """
        try:
            send_message(self._control, request, descriptors)
        except OSError as error:
            raise ServerLostError("the decode server has ended") from error

    def kill(self) -> None:
        """Has the running child killed; harmless if it has ended already."""
        with contextlib.suppress(OSError):
            send_message(self._control, {"kind": "kill"})

    def await_exit(self) -> int:
        """Gives the wait status of the child that `run` started, once it has ended.

        Raises:
            ServerLostError: No answer came.
        """
        return int(self._receive("exit")["status"])

    def close(self) -> None:
        """Ends the server and its child; waits until the process is gone."""
        self._control.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _receive(self, kind: str) -> Message:
        try:
            message = receive_message(self._control)
        except (ProtocolError, OSError) as error:
            self.lost = True
            raise ServerLostError("the decode server does not answer") from error
        if message is None or message.get("kind") != kind:
            self.lost = True
            raise ServerLostError("the decode server has ended")
        return message
