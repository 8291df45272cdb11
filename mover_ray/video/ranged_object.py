"""A stored object as a local file that fills with bytes as they are needed.

The file is as long as the object and begins as one hole. Every block is fetched at most once,
into its place, so that a video never costs more bytes than the object has, however its decoder
jumps about, and a second attempt finds what the first one has read.
"""

import concurrent.futures
import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mover_ray.errors import StorageError
from mover_ray.status import Status

#: Gives so many bytes from a position on; raises `StorageError`.
ReadRange = Callable[[int, int], bytes]

#: Pieces that are fetched begin and end at multiples of this.
BLOCK_BYTES: Final = 64 * 1024
#: Largest piece, in blocks: 4 MiB, of which no more than five are in memory at once.
_MOST_BLOCKS: Final = 64
_PREFETCHES: Final = 4
#: An object is fetched whole when more of it than this is wanted: fewer requests, and a hash.
WHOLE_SHARE: Final = 0.5

_ABSENT, _ASKED, _PRESENT = range(3)

_Run = tuple[int, int]


class RangedObject:
    """Any thread may ask for bytes; further threads fetch what will be asked for next."""

    def __init__(self, read: ReadRange, size_bytes: int) -> None:
        """Makes the file; nothing is fetched yet.

        Args:
            read: Always of the same version of the object; called by several threads.
            size_bytes: Of the object, at least 1.
        """
        self._read = read
        self.size_bytes = size_bytes
        #: Bytes that have been fetched.
        self.bytes_moved = 0
        #: Milliseconds that readers have waited.
        self.waited_ms = 0.0
        self._state = bytearray(-(-size_bytes // BLOCK_BYTES))
        self._changed = threading.Condition()
        self._todo: deque[_Run] = deque()
        self._claimed = 0
        self._planned = False
        self._whole = False
        self._prefetching = 0
        self._run = (0, 0)
        self._workers = concurrent.futures.ThreadPoolExecutor(_PREFETCHES, "mover-ray-prefetch")
        self._target, self._descriptor = _make_file(size_bytes)

    @property
    def descriptor(self) -> int:
        """The file for reading only; bytes that nobody has required yet are zeros."""
        return self._descriptor

    def require(self, start: int, stop: int) -> int:
        """Waits until the bytes from `start` to `stop` are in the file.

        Args:
            start: Not negative.
            stop: Above `start`, at most the size.

        Returns:
            End of the stretch from `start` on that is there.

        Raises:
            StorageError: They cannot be had.
        """
        began = time.perf_counter()
        first, end = _blocks(start, stop)
        with self._changed:
            self._read_ahead(first, end)
            self._start_prefetches()
        try:
            self._complete(first, end)
        finally:
            self.waited_ms += 1000 * (time.perf_counter() - began)
        return self._present_until(end)

    def plan(self, spans: Sequence[tuple[int, int]]) -> None:
        """Fetches these stretches in their order, ahead of `require`; forgets an earlier plan.

        From now on nothing is fetched that is neither planned nor required.

        Args:
            spans: First byte and end of each, within the object.
        """
        runs = [_blocks(start, stop) for start, stop in spans]
        wanted = np.zeros(len(self._state), dtype=np.bool_)
        for first, end in runs:
            wanted[first:end] = True
        with self._changed:
            absent = np.frombuffer(self._state, dtype=np.uint8) == _ABSENT
            self._prefer_whole(int(np.count_nonzero(absent & wanted)))
            self._todo = deque(runs)
            self._planned = True
            self._start_prefetches()

    def sha256(self) -> str | None:
        """Gives the object's SHA-256, hexadecimal, if all of it has been fetched."""
        if self._state.count(_PRESENT) < len(self._state):
            return None
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()

    def close(self) -> None:
        """Frees the file; a request that is under way ends by itself and leaves nothing."""
        with self._changed:
            if self._descriptor >= 0:
                os.close(self._target)
                os.close(self._descriptor)
            self._target = self._descriptor = -1
            self._workers.shutdown(wait=False, cancel_futures=True)
            self._changed.notify_all()

    def _complete(self, first: int, end: int) -> None:
        """Fetches what nobody has asked for, then waits for what others have."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._only_asked(first, end))
                run = self._claim(first, end) if self._descriptor >= 0 else None
            if run is None:
                return
            self._fetch(*run)

    def _only_asked(self, first: int, end: int) -> bool:
        """Tells whether there is nothing to do for these blocks but to wait for other threads."""
        asked = self._state.find(_ASKED, first, end) >= 0
        return asked and self._state.find(_ABSENT, first, end) < 0 and self._descriptor >= 0

    def _claim(self, first: int, end: int) -> _Run | None:
        """Marks the first absent blocks of a run as asked for and gives them; None if none is."""
        start = self._state.find(_ABSENT, first, end)
        if start < 0:
            return None
        stop = start
        while stop < min(end, start + _MOST_BLOCKS) and self._state[stop] == _ABSENT:
            self._state[stop] = _ASKED
            stop += 1
        self._claimed += stop - start
        return start, stop

    def _fetch(self, first: int, end: int) -> None:
        """Fetches blocks that this thread has claimed."""
        start = first * BLOCK_BYTES
        length = min(end * BLOCK_BYTES, self.size_bytes) - start
        state = _ABSENT
        try:
            data = self._read(start, length)
            if len(data) != length:
                raise StorageError(
                    Status.FETCH_ERROR, f"{len(data)} bytes came instead of {length}"
                )
            self._write(data, start)
            state = _PRESENT
        finally:
            with self._changed:
                self._state[first:end] = bytes([state]) * (end - first)
                if state == _ABSENT:
                    self._claimed -= end - first
                self._changed.notify_all()

    def _write(self, data: bytes, start: int) -> None:
        with self._changed:
            # The number of a closed descriptor may belong to another file by now.
            if self._descriptor < 0:
                return
            self.bytes_moved += len(data)
            try:
                written = os.pwrite(self._target, data, start)
            except OSError as error:
                text = f"the temporary file cannot be written: {error.strerror}"
                raise StorageError(Status.FETCH_ERROR, text) from error
        if written < len(data):
            raise StorageError(Status.FETCH_ERROR, "no room is left for the temporary file")

    def _present_until(self, block: int) -> int:
        while block < len(self._state) and self._state[block] == _PRESENT:
            block += 1
        return min(block * BLOCK_BYTES, self.size_bytes)

    def _read_ahead(self, first: int, end: int) -> None:
        """Without a plan, plans as much as has been read before without a jump."""
        began, reached = self._run
        went_on = began < first <= reached
        began = began if went_on or first == began else first
        self._run = (began, end)
        ahead = min(end - began, 2 * _MOST_BLOCKS)
        next_absent = self._state.find(_ABSENT, end)
        # Half of the distance is kept under way, so that pieces are large.
        if went_on and not self._planned and 0 <= next_absent < end + ahead / 2:
            self._todo.append((next_absent, min(end + ahead, len(self._state))))
        self._prefer_whole(0)

    def _prefer_whole(self, missing: int) -> None:
        """Has all of the object fetched if what is there and `missing` is much of it."""
        self._whole |= self._claimed + missing > WHOLE_SHARE * len(self._state)

    def _start_prefetches(self) -> None:
        while self._prefetching < _PREFETCHES and self._descriptor >= 0:
            run = self._claim_planned()
            if run is None:
                return
            self._prefetching += 1
            self._workers.submit(self._prefetch, *run)

    def _claim_planned(self) -> _Run | None:
        while self._todo:
            run = self._claim(*self._todo[0])
            if run is not None:
                return run
            self._todo.popleft()
        return self._claim(0, len(self._state)) if self._whole else None

    def _prefetch(self, first: int, end: int) -> None:
        done = False
        # Whoever needs these bytes asks for them again and is told; it may be that nobody does.
        with contextlib.suppress(StorageError):
            try:
                self._fetch(first, end)
                done = True
            finally:
                self._end_prefetch(done)

    def _end_prefetch(self, done: bool) -> None:
        with self._changed:
            self._prefetching -= 1
            if not done:
                self._todo.clear()
                self._whole = False
            self._start_prefetches()


def _blocks(start: int, stop: int) -> _Run:
    return start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)


def _make_file(size_bytes: int) -> tuple[int, int]:
    """Gives two descriptors of one nameless file: for writing, and for reading only."""
    target, path = tempfile.mkstemp(prefix="mover-ray-")
    try:
        os.truncate(target, size_bytes)
        return target, os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except BaseException:
        os.close(target)
        raise
    finally:
        Path(path).unlink()
