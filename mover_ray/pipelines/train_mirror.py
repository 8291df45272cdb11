"""A training's folder in a bucket: checkpoints go there while training goes on.

The loops know local folders alone. Where the destination is a bucket, they work in a
folder of the node, and the first worker copies what is new from a thread of its own. A
checkpoint counts once its `state.json` is there, which is sent last.
"""

import contextlib
import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from mover_ray.errors import StorageError
from mover_ray.storage import join, relative_name, storage_for
from mover_ray.training.checkpoint import STATE_NAME
from mover_ray.training.loop import CHECKPOINTS, METRICS_NAME

_logger = logging.getLogger(__name__)

#: Seconds between two looks for something new: what a lost node can cost.
EVERY_S = 30.0


class Mirror:
    """Keeps a local folder and a prefix of a bucket alike."""

    def __init__(self, folder: Path, uri: str) -> None:
        """Takes the folder, which need not exist, and the prefix; touches neither."""
        self._folder = folder
        self._uri = uri
        self._storage = storage_for(uri)
        self._sent: dict[str, tuple[int, int]] = {}

    def pull(self) -> None:
        """Makes this node's checkpoints and metrics those of the bucket.

        Raises:
            StorageError: The bucket cannot be read.
        """
        there = self._listed()
        for path in self._folder.glob(f"{CHECKPOINTS}/[0-9]*"):
            if f"{CHECKPOINTS}/{path.name}/{STATE_NAME}" not in there:
                shutil.rmtree(path)
        for name, size_bytes in there.items():
            whole = f"{name.rpartition('/')[0]}/{STATE_NAME}" in there
            if name == METRICS_NAME or (name.startswith(f"{CHECKPOINTS}/") and whole):
                self._fetch(name, size_bytes)

    def push(self) -> None:
        """Sends what is new, and removes from the bucket the checkpoints that went here.

        Raises:
            StorageError: The bucket cannot be written.
        """
        for path in sorted(self._folder.rglob("*"), key=_sending_order):
            name = path.relative_to(self._folder).as_posix()
            if path.is_file() and not any(part.startswith(".") for part in Path(name).parts):
                self._send(name, path)
        self._forget()

    @contextlib.contextmanager
    def kept_up(self, every_s: float = EVERY_S) -> Iterator[None]:
        """Sends what is new while a `with` block runs, and once more at its end.

        A failure meanwhile is logged and tried again; one at the end is raised.
        """
        ended = threading.Event()
        thread = threading.Thread(target=self._keep_up, args=(ended, every_s), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        self.push()

    def _keep_up(self, ended: threading.Event, every_s: float) -> None:
        while not ended.wait(every_s):
            try:
                self.push()
            except StorageError as error:
                _logger.warning("checkpoints are not copied just now: %s", error)

    def _send(self, name: str, path: Path) -> None:
        """Sends one file unless it was sent; one that is pruned meanwhile is no loss."""
        try:
            version = _version(path)
            if self._sent.get(name) == version:
                return
            content = path.read_bytes()
        except FileNotFoundError:
            return
        self._storage.write(join(self._uri, name), content)
        self._sent[name] = version

    def _forget(self) -> None:
        """Removes checkpoints that this process has sent and that are pruned by now."""
        gone = [
            name
            for name in self._sent
            if name.startswith(f"{CHECKPOINTS}/") and not (self._folder / name).exists()
        ]
        # `state.json` first: what is half removed does not count.
        for name in sorted(gone, key=lambda name: not name.endswith(STATE_NAME)):
            self._storage.delete(join(self._uri, name))
            del self._sent[name]

    def _fetch(self, name: str, size_bytes: int) -> None:
        path = self._folder / name
        here = path.exists() and path.stat().st_size == size_bytes
        if not here or name == METRICS_NAME:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.tmp")
            with draft.open("wb") as file:
                self._storage.fetch(join(self._uri, name), file)
            draft.rename(path)
        self._sent[name] = _version(path)

    def _listed(self) -> dict[str, int]:
        """Gives the size of every object by its name below the prefix."""
        infos = self._storage.list(self._uri)
        return {relative_name(info.uri, self._uri): info.size_bytes for info in infos}


def _sending_order(path: Path) -> tuple[bool, str]:
    """Puts `state.json` behind the files that it speaks of."""
    return path.name == STATE_NAME, str(path)


def _version(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
