"""Recall and CPU time of face detectors and of the search through a video's frames; one core.

    python benchmarks/faces.py --data DIR --json FILE [--every N]

Frames are the 32 that `uniform` takes of every N-th video of `talking/` and `ffpp/`. There is no
ground truth by hand: a face counts as true where at least two of three detectors
(CenterFace, YuNet, RetinaFace-MobileNet) see it with a common score of 0.8 or more at a
longer side of up to 960 pixels, their boxes overlapping by half; and where its shorter side has
40 pixels or more. It is found where a box overlaps it by 0.4.
"""

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from harness import parser, report, use_one_core

from mover_ray.faces.alignment import align, crop
from mover_ray.faces.base import Detections, FaceDetector, Floats, Image
from mover_ray.faces.boxes import iou
from mover_ray.faces.extractor import FaceExtractor
from mover_ray.faces.parts import part_boxes
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.quality import quality
from mover_ray.faces.registry import build_detector, build_landmarker
from mover_ray.faces.search import FaceSearch
from mover_ray.faces.warping import transform
from mover_ray.faces.windows import find_shrunk
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import Frame, VideoReader

_WEIGHTS = {
    "yunet": "face_detection_yunet_2026may.onnx",
    "retinaface-mobilenet": "retinaface_mobilenet0.25.pth",
}
_SIZES_PX = (160, 320, 480, 640)
_TRUTH_PX = 960
_LEAST_FACE_PX = 40
_CERTAIN = 0.8
_SAME_IOU = 0.5
_FOUND_IOU = 0.4
# Truth costs as much as everything else: it is known for one frame in so many.
_TRUTH_EVERY = 8
# What faces were searched with before `FacePolicy.search_every` came.
_BEFORE = FacePolicy(detection_face_px=40, detection_size_px=480, search_every=1)
_PROFILED = {
    "480p": "ffpp/original_sequences/youtube/c40/videos/469.mp4",
    "720p": "ffpp/original_sequences/youtube/c40/videos/481.mp4",
    "1080p": "ffpp/original_sequences/youtube/c40/videos/866.mp4",
}


@dataclass(slots=True)
class Tally:
    """What one way of searching has found so far, and what it cost."""

    faces: int = 0
    found: int = 0
    certain: int = 0
    extra: int = 0
    """Certain boxes of 40 pixels or more that no true face overlaps at all."""
    frames: int = 0
    seconds: float = 0.0

    def count(self, truth: Floats, seen: Detections) -> None:
        """Compares the boxes of one frame with its true faces."""
        certain = seen.select(seen.scores >= _CERTAIN)
        self.faces += len(truth)
        self.found += int((_overlap(truth, seen.boxes) >= _FOUND_IOU).sum())
        self.certain += int((_overlap(truth, certain.boxes) >= _FOUND_IOU).sum())
        self.extra += int((_overlap(_large(certain.boxes), truth) == 0).sum())

    def row(self) -> dict[str, float]:
        """Gives the figures of the table."""
        return {
            "recall": self.found / self.faces,
            "recall_certain": self.certain / self.faces,
            "extra": self.extra / self.faces,
            "faces": self.faces,
            "ms": 1000 * self.seconds / self.frames,
        }


def sampled(reader: VideoReader, path: Path) -> list[Frame]:
    """Gives the 32 frames that `uniform` takes, by way of the sandbox."""
    with (
        path.open("rb") as file,
        reader.open(file.fileno(), SamplingPolicy(policy="uniform"), b"") as video,
    ):
        return list(video)


def videos(data: Path, every: int) -> list[Path]:
    """Lists every N-th real talking head and FaceForensics++ video."""
    found = [
        path
        for folder in ("talking", "ffpp")
        for path in sorted((data / folder).rglob("*"))
        if path.is_file()
    ]
    if not found:
        raise FileNotFoundError(f"no videos in `talking` and `ffpp` of {data}")
    return found[::every]


@cache
def detector_of(name: str, weights: Path) -> FaceDetector:
    """Builds a detector that keeps what the default policy keeps."""
    file = str(weights / _WEIGHTS[name]) if name in _WEIGHTS else None
    return build_detector(FacePolicy(detector=name, detector_weights=file))


def true_faces(image: Image, weights: Path) -> Floats:
    """Gives the boxes [K, 4] on which two detectors agree."""
    answers = []
    for name in ("centerface", *_WEIGHTS):
        seen = find_shrunk(detector_of(name, weights), [image], [_TRUTH_PX])[0]
        answers.append(seen.boxes[seen.scores >= _CERTAIN])
    faces: list[Floats] = []
    for number, boxes in enumerate(answers):
        others = answers[:number] + answers[number + 1 :]
        for box in boxes:
            agreeing = [other for other in others if _overlap(box[None], other)[0] >= _SAME_IOU]
            known = _overlap(box[None], np.array(faces, np.float32).reshape(-1, 4))[0] > 0.3
            if agreeing and not known:
                faces.append(box)
    return _large(np.array(faces, np.float32).reshape(-1, 4))


def _large(boxes: Floats) -> Floats:
    sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf)
    return np.asarray(boxes[sides >= _LEAST_FACE_PX], dtype=np.float32)


def _overlap(boxes: Floats, others: Floats) -> Floats:
    """Gives the best overlap [K] of each box with any other."""
    return np.asarray(iou(boxes, others).max(axis=1, initial=0.0), dtype=np.float32)


def timed(tally: Tally, work: Callable[[], list[Detections]]) -> list[Detections]:
    """Runs a search of one frame and adds its CPU time."""
    started = time.process_time()
    seen = work()
    tally.seconds += time.process_time() - started
    tally.frames += 1
    return seen


def follow(policy: FacePolicy, frames: list[Frame], truth: dict[int, Floats], tally: Tally) -> None:
    """Searches the frames of one video as the face stage does."""
    search = FaceSearch(detector_of(policy.detector, Path()), policy)
    for number, frame in enumerate(frames):
        seen = timed(tally, partial(search.find, [frame.image]))[0]
        if number in truth:
            tally.count(truth[number], seen)


@dataclass(slots=True)
class Tables:
    """Tallies by detector and size, and by policy."""

    detectors: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    searches: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def add(self, frames: list[Frame], truth: dict[int, Floats], weights: Path) -> None:
        """Adds one video to every row."""
        for name, policy in searches().items():
            follow(policy, frames, truth, self.searches[name])
        for name in ("centerface", "dlib", *_WEIGHTS):
            for size in _SIZES_PX:
                tally = self.detectors[f"{name} {size}"]
                for number, faces in truth.items():
                    image = frames[number].image
                    find = partial(find_shrunk, detector_of(name, weights), [image], [size])
                    tally.count(faces, timed(tally, find)[0])

    def rows(self) -> dict[str, Any]:
        """Gives the tables."""
        return {
            "detectors": {name: tally.row() for name, tally in self.detectors.items()},
            "searches": {name: tally.row() for name, tally in self.searches.items()},
        }


def searches() -> dict[str, FacePolicy]:
    """Gives the policies that are compared."""
    policy = FacePolicy()
    return {
        "every frame at 480 px": _BEFORE,
        "every frame at the default size": replace(policy, search_every=1),
        "search_every = 8": replace(policy, search_every=8),
        "default": policy,
    }


def truths(frames: list[Frame], weights: Path) -> dict[int, Floats]:
    """Gives the true faces of some of a video's frames, by their position."""
    chosen = range(_TRUTH_EVERY // 2, len(frames), _TRUTH_EVERY)
    return {number: true_faces(frames[number].image, weights) for number in chosen}


def recall_of(policy: FacePolicy, data: Path, every: int = 6) -> float:
    """Gives the share of true faces that the face stage finds with a policy.

    Args:
        policy: With a detector that carries its own weights.
        data: Folder of real videos, beside that of the weights.
        every: Every how manieth video is looked at.
    """
    tally = Tally()
    with VideoReader(VideoBudget()) as reader:
        for path in videos(data, every):
            frames = sampled(reader, path)
            follow(policy, frames, truths(frames, _weights(data)), tally)
    return tally.found / tally.faces


def _weights(data: Path) -> Path:
    return data.resolve().parent / "weights"


def profile(frames: list[Frame], policy: FacePolicy) -> dict[str, float]:
    """Gives milliseconds of CPU a sampled frame, by step, and of the whole stage."""
    steps = _Steps()
    landmarker = build_landmarker(policy)
    search = FaceSearch(build_detector(policy), policy)
    for frame in frames:
        image = frame.image
        seen = steps.run("detection", search.find, [image])[0]
        points = steps.run("landmarks", landmarker.landmarks, image, seen.boxes)
        for box, face in zip(seen.boxes, points, strict=True):
            affine = steps.run("alignment", align, face, box, policy)
            picture = steps.run("crop", crop, image, affine, policy.size_px)
            in_crop = transform(affine, face)
            steps.run("parts", part_boxes, in_crop, policy.size_px)
            steps.run("quality", quality, picture, affine)
    extractor = FaceExtractor(policy)
    whole = _Steps()
    whole.run("total", extractor.extract, frames)
    return {
        name: 1000 * seconds / len(frames)
        for name, seconds in {**steps.seconds, **whole.seconds}.items()
    }


class _Steps:
    """CPU seconds by the name of a step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def run(self, name: str, work: Callable[..., Any], *arguments: Any) -> Any:
        started = time.process_time()
        result = work(*arguments)
        self.seconds[name] += time.process_time() - started
        return result


def profiles(reader: VideoReader, data: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Gives the profile of one video of each size, medians over rounds."""
    tables = {}
    for size, name in _PROFILED.items():
        frames = sampled(reader, data / name)
        runs = [profile(frames, FacePolicy()) for _ in range(rounds)]
        tables[size] = {step: statistics.median(run[step] for run in runs) for step in runs[0]}
    return tables


def lines(tables: dict[str, Any]) -> Iterator[str]:
    """Gives the tables as text."""
    for title in ("detectors", "searches", "profile"):
        rows = tables[title]
        columns = list(next(iter(rows.values())))
        yield f"\n{title:34}" + "".join(f"{column:>15}" for column in columns)
        for name, row in rows.items():
            yield f"{name:34}" + "".join(f"{row[column]:15.4g}" for column in columns)


def main() -> int:
    """Measures, prints and writes the figures."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--every", type=int, default=3, help="take every N-th video (3)")
    arguments.add_argument("--rounds", type=int, default=3, help="repetitions of the profile (3)")
    options = arguments.parse_args()
    use_one_core()
    cv2.setNumThreads(1)
    tables = Tables()
    weights = _weights(options.data)
    with VideoReader(VideoBudget()) as reader:
        for path in videos(options.data, options.every):
            frames = sampled(reader, path)
            tables.add(frames, truths(frames, weights), weights)
        results = {**tables.rows(), "profile": profiles(reader, options.data, options.rounds)}
    report(results, options.json)
    print("\n".join(lines(results)), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
