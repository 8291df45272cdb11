"""Decodes a file in a process that dies of the first system call that decoding may do without.

    python -m tests.video.strict_decode FILE

Prints JSON: the status, the error, the frames, CPU seconds and the growth of the most memory.
"""

import importlib
import io
import json
import resource
import struct
import sys
import time
from pathlib import Path
from typing import Any

import av.logging
import numpy as np
import numpy.typing as npt

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video import seccomp, server
from mover_ray.video.budget import VideoBudget
from mover_ray.video.decode import decode_video
from mover_ray.video.probe import VideoInfo
from mover_ray.video.request import DecodeRequest
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.system_calls import Machine

_KILL = struct.pack("HBBI", 0x06, 0, 0, 0x80000000)


class Counting:
    """Takes frames and keeps none."""

    def __init__(self) -> None:
        self.frames = 0

    def info(self, info: VideoInfo, num_sampled: int, max_gap_s: float) -> None:
        pass

    def plan(self, spans: Any) -> None:
        pass

    def frame(self, index: int, time_s: float, groups: Any, image: npt.NDArray[np.uint8]) -> None:
        self.frames += 1


def be_strict() -> None:
    """Filters system calls; what would merely fail in a sandboxed child is fatal here."""
    build = seccomp.build_filter

    def build_strictly(machine: Machine, process: int) -> list[bytes]:
        return [*build(machine, process)[:-1], _KILL]

    seccomp.build_filter = build_strictly
    seccomp.filter_system_calls()


def main() -> None:
    av.logging.set_level(av.logging.PANIC)
    for module in server._PRELOADED:
        importlib.import_module(module)
    file = io.BytesIO(Path(sys.argv[1]).read_bytes())
    policy = SamplingPolicy(policy="uniform", frames=8)
    request = DecodeRequest(budget=VideoBudget(), policies=(policy,), key=b"k")
    sink = Counting()
    outcome: dict[str, object] = {"status": Status.OK, "error": None}
    before_mib, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    be_strict()
    try:
        decode_video(file, request, sink)
    except InputError as error:
        outcome = {"status": error.status, "error": str(error)}
    cpu_s = time.process_time() - started
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_mib) / 1024
    outcome |= {"frames": sink.frames, "cpu_s": cpu_s, "grown_mib": grown_mib}
    sys.stdout.write(json.dumps(outcome))


if __name__ == "__main__":
    main()
