"""What it costs to score a video with each detector, its faces found already.

    python benchmarks/detectors.py --json FILE [--size tiny|paper] [--device cpu|cuda] [--only NAME]

A video is one track of 32 faces for detectors that look at frames, and four clips for those that
look at clips; batches are those of the scorer. Figures of each detector: `video_ms`, `frames_s`,
`gflop_frame` (multiplications and additions of layers and attention that torch counts),
`mfu` (their rate as a share of what the device does in a large matrix product in the same
process and precision), `memory_mib` (weights and activations: growth of the process on a CPU,
most memory allocated on a GPU). `fcg-twice` are two ensemble members that read one backbone in
one pass. Weights are random, which costs the same. On a CPU times are CPU time of one thread.
"""

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import torch
from harness import parser, report
from torch.utils.flop_counter import FlopCounterMode

from mover_ray.models.base import InputSpec
from mover_ray.models.frozen_backbone_detector import FeatureDetector, score_together
from mover_ray.models.registry import build_detector
from mover_ray.stages.scoring_config import ScoringConfig

_FRAMES = 32
_CLIPS = 4
_BATCH = ScoringConfig().batch_segments
_MATRIX = {"cpu": 1536, "cuda": 8192}
_TWICE = "fcg-twice"

_TINY_MAE = {"size": "tiny", "image_px": 112}
_TINY_VIT = {"architecture": "vit_small_patch14_dinov2", "image_px": 112}
_PAPER_VIT = {"architecture": "vit_large_patch14_clip_quickgelu_224", "image_px": 224}

Settings = Mapping[str, Any]

#: Name of a row -> detector and settings: those of the presets.
SIZES: dict[str, dict[str, tuple[str, Settings]]] = {
    "tiny": {
        "mover": ("mover", {"mae": _TINY_MAE, "segment_frames": 3, "norm": "group"}),
        "delocate": ("delocate", {"mae": _TINY_MAE, "segment_frames": 3}),
        "fcg": ("fcg", {"backbone": _TINY_VIT, "segment_frames": 8}),
        _TWICE: ("fcg", {"backbone": _TINY_VIT, "segment_frames": 8}),
        "ln-clip": ("ln-clip", {"backbone": _TINY_VIT}),
        "motion": ("motion", {}),
        "motion-cmm": ("motion", {"motion": "cmm"}),
        "motion-none": ("motion", {"motion": "none"}),
    },
    "paper": {
        "mover": ("mover", {"mae": {"size": "base"}}),
        "delocate": ("delocate", {"mae": {"size": "base"}}),
        "fcg": ("fcg", {"backbone": _PAPER_VIT}),
        _TWICE: ("fcg", {"backbone": _PAPER_VIT}),
        "ln-clip": ("ln-clip", {"backbone": _PAPER_VIT}),
        "motion": ("motion", {"backbone": "resnet50", "image_px": 224}),
        "motion-16": (
            "motion",
            {"backbone": "resnet50", "image_px": 224, "segment_frames": 16},
        ),
    },
}


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table; crosses into the process that measures it."""

    name: str
    size: str
    device: str
    rounds: int


@torch.inference_mode()
def measure(case: Case) -> dict[str, float]:
    """Measures one detector; meant for a process of its own."""
    torch.set_num_threads(1)
    detector_name, settings = SIZES[case.size][case.name]
    matrix_flops = _matrix_flops(case)
    before_mib = _used_mib(case.device)
    detectors = [
        build_detector(detector_name, settings)
        .to(case.device)
        .to(memory_format=torch.channels_last)
        .eval()
        for _ in range(2 if case.name == _TWICE else 1)
    ]
    spec = detectors[0].spec
    batch = _batch(spec, case.device)
    readers = [one for one in detectors if isinstance(one, FeatureDetector)]

    def score() -> object:
        return score_together(readers, *batch) if len(readers) > 1 else detectors[0](*batch)

    with FlopCounterMode(display=False) as counter:
        score()
    segments = _CLIPS if spec.clips else -(-_FRAMES // spec.segment_frames)
    passes = -(-segments // _BATCH)
    seconds = _median_s(score, case)
    frames = segments * spec.segment_frames
    flops = float(counter.get_total_flops())
    return {
        "video_ms": round(1000 * seconds * passes, 1),
        "frames_s": round(frames / (seconds * passes), 1),
        "gflop_frame": round(flops / (_BATCH * spec.segment_frames) / 1e9, 2),
        "mfu": round(flops / seconds / matrix_flops, 3),
        "memory_mib": round(_used_mib(case.device) - before_mib),
    }


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Gives the figures, a line each."""
    columns = ("video_ms", "frames_s", "gflop_frame", "mfu", "memory_mib")
    lines = [f"{'':12}" + "".join(f"{column:>13}" for column in columns)]
    for name, row in results.items():
        lines.append(f"{name:12}" + "".join(f"{row[column]:>13,}" for column in columns))
    return "\n".join(lines)


def main() -> int:
    """Measures each detector in a process of its own."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--size", choices=SIZES, default="tiny", help="of the presets (tiny)")
    arguments.add_argument("--device", choices=_MATRIX, default="cpu", help="(cpu)")
    arguments.add_argument("--rounds", type=int, default=5, help="of each figure (5)")
    arguments.add_argument("--only", help="one row")
    options = arguments.parse_args()
    names = [options.only] if options.only else list(SIZES[options.size])
    results = {}
    for name in names:
        case = Case(name, options.size, options.device, options.rounds)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            results[name] = pool.submit(measure, case).result()
    report({"size": options.size, "device": options.device, **results}, options.json)
    print(table(results), file=sys.stderr)
    return 0


def _batch(spec: InputSpec, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (_BATCH, spec.segment_frames)
    faces = torch.randint(0, 256, (*shape, 3, spec.size_px, spec.size_px), dtype=torch.uint8)
    landmarks = torch.rand(*shape, 68, 2) * spec.size_px
    return faces.to(device), landmarks.to(device)


def _median_s(work: Callable[[], object], case: Case) -> float:
    """Gives seconds: of the CPU, or of the clock once a GPU has finished."""
    times = []
    for _ in range(case.rounds):
        started = _now_s(case.device)
        work()
        times.append(_now_s(case.device) - started)
    return statistics.median(times)


def _now_s(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def _matrix_flops(case: Case) -> float:
    """Gives the floating-point operations a second of a large matrix product."""
    side = _MATRIX[case.device]
    matrix = torch.rand(side, side, device=case.device)
    torch.mm(matrix, matrix)
    return 2 * side**3 / _median_s(lambda: torch.mm(matrix, matrix), case)


def _used_mib(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    gc.collect()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    sys.exit(main())
