"""A rate that all processes of one machine keep to together."""

import fcntl
import os
import struct
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from mover_ray.errors import LocationError

#: What may be taken at once after a rest, in seconds' worth.
BURST_S: Final = 1.0
#: Where the two clocks are further apart than they were, the machine was started anew.
_SAME_BOOT_S: Final = 60.0

#: When all will be paid, and how far the clock of the day was from that of the machine.
_STATE: Final = struct.Struct("=dd")

#: File locks keep processes apart; threads of one process need their own.
_threads = threading.Lock()


class NodeLimit:
    """A leaky bucket in a small file that every process of this user shares.

    The file holds when all that was taken will have been paid for, by the clock that the
    machine's processes have in common.
    """

    def __init__(self, name: str, per_s: float) -> None:
        """Opens the bucket; limits of one name and rate share one.

        Raises:
            LocationError: There is no folder for temporary files.
        """
        self._per_s = per_s
        folder = Path(tempfile.gettempdir()) / f"mover-ray-limits-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(folder / f"{name}-{per_s:g}", flags, 0o600)
        except OSError as error:
            raise LocationError(
                f"no limit can be kept: `{folder}`: {error.strerror}", hint="check TMPDIR"
            ) from error

    def take(self, amount: float) -> None:
        """Waits until `amount` more is within the rate."""
        time.sleep(self._reserve(amount))

    def close(self) -> None:
        """Gives the file back; what was taken stays taken."""
        os.close(self._descriptor)

    def _reserve(self, amount: float) -> float:
        """Puts an amount on the bill; gives the seconds to wait for it."""
        with _threads:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
            try:
                now = time.monotonic()
                paid_at = max(self._paid_at(now), now - BURST_S) + amount / self._per_s
                os.pwrite(self._descriptor, _STATE.pack(paid_at, time.time() - now), 0)
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
        return max(0.0, paid_at - now)

    def _paid_at(self, now: float) -> float:
        stored = os.pread(self._descriptor, _STATE.size, 0)
        if len(stored) < _STATE.size:
            return now
        state: tuple[float, float] = _STATE.unpack(stored)
        paid_at, apart = state
        return paid_at if abs(time.time() - now - apart) < _SAME_BOOT_S else now
