"""Video to aligned faces against the usual way, and against decoding alone; on one core.

    python benchmarks/extract.py --data DIR --json FILE

The usual way is that of the field's common benchmark code: OpenCV decodes every frame, dlib's HOG
detector searches the sampled ones at full size with one up-sampling, the face is aligned by 68
landmarks, and searched for once more in the crop. Figures are CPU seconds, decoder's process
included, because a busy machine leaves those alone.
"""

import sys
from pathlib import Path
from typing import Any

import av
import cv2
import dlib
import numpy as np
import numpy.typing as npt
from faces import profile, recall_of, sampled  # benchmarks/faces.py
from harness import Rival, compare, cpu_seconds, parser, report, use_one_core

from mover_ray.faces.dlib68 import predictor_path
from mover_ray.faces.policy import FacePolicy
from mover_ray.models.view import View
from mover_ray.stages.faces import FindFaces
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader

#: One FaceForensics++ video of each size; 414, 414 and 509 frames.
_VIDEOS = {
    "480p": "ffpp/original_sequences/youtube/c40/videos/469.mp4",
    "720p": "ffpp/original_sequences/youtube/c40/videos/481.mp4",
    "1080p": "ffpp/original_sequences/youtube/c40/videos/866.mp4",
}
_FRAMES = 32
_USUAL_CROP_PX = 256

Image = npt.NDArray[np.uint8]


class UsualWay:
    """OpenCV and dlib's HOG, frame after frame."""

    def __init__(self) -> None:
        """Loads the detector and the landmark model."""
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(predictor_path()))

    def extract(self, path: Path) -> None:
        """Gives up each result: only its cost is of interest."""
        for frame in _opencv_frames(path):
            faces = self._detector(frame, 1)
            if not faces:
                continue
            largest = max(faces, key=lambda face: face.area())
            shape = self._predictor(frame, largest)
            chip = dlib.get_face_chip(frame, shape, size=_USUAL_CROP_PX, padding=0.25)
            for again in self._detector(chip, 1):
                self._predictor(chip, again)


def _opencv_frames(path: Path) -> list[Image]:
    """Decodes a whole video and keeps evenly spaced frames, RGB."""
    capture = cv2.VideoCapture(str(path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = set(np.linspace(0, count - 1, _FRAMES).astype(int).tolist())
    kept = []
    for position in range(count):
        found, frame = capture.read()
        if found and position in wanted:
            kept.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    capture.release()
    return kept


def decode_alone(path: Path) -> None:
    """Decodes every frame in one thread and looks at none."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


class OurWay:
    """The stage that the pipeline runs, sandbox and hashing included."""

    def __init__(self, policy: str) -> None:
        """Starts the decoder and loads the face models."""
        sampling = SamplingPolicy(policy=policy, frames=_FRAMES)
        self._stage = FindFaces([View(faces=FacePolicy(), sampling=sampling)], VideoBudget())
        self.last: dict[str, Any] = {}

    def seconds(self, path: Path) -> float:
        """Gives the CPU seconds of one video, of both processes."""
        row = {"video_id": 1, "uri": str(path.resolve()), "size_bytes": None, "mtime_ns": None}

        def extract() -> None:
            self.last = self._stage(row)

        here_s = cpu_seconds(extract)
        if self.last["status"] != "ok":
            raise RuntimeError(f"{path}: {self.last['error']}")
        return here_s + float(self.last["decode_ms"]) / 1000

    def close(self) -> None:
        """Ends the decoder."""
        self._stage.close()


def measure(path: Path, rounds: int) -> dict[str, float]:
    """Gives the seconds of every way for one video."""
    usual, uniform, keyframes = UsualWay(), OurWay("uniform"), OurWay("keyframes")
    try:
        seconds = compare(
            [
                Rival("usual_s", lambda: cpu_seconds(lambda: usual.extract(path))),
                Rival("uniform_s", lambda: uniform.seconds(path)),
                Rival("keyframes_s", lambda: keyframes.seconds(path)),
                Rival("decode_s", lambda: cpu_seconds(lambda: decode_alone(path))),
            ],
            rounds,
        )
        with VideoReader(VideoBudget()) as reader:
            frames = sampled(reader, path)
        return {**seconds, "face_ms": profile(frames, FacePolicy())["total"]}
    finally:
        uniform.close()
        keyframes.close()


def main() -> int:
    """Measures, prints and writes the figures."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=3, help="repetitions (3)")
    options = arguments.parse_args()
    use_one_core()
    cv2.setNumThreads(1)
    videos = {size: measure(options.data / name, options.rounds) for size, name in _VIDEOS.items()}

    def mean(over: str, under: str) -> float:
        ratios = [video[over] / video[under] for video in videos.values()]
        return float(np.exp(np.mean(np.log(ratios))))

    report(
        {
            "uniform_speedup": mean("usual_s", "uniform_s"),
            "keyframes_speedup": mean("usual_s", "keyframes_s"),
            "uniform_over_decode": mean("uniform_s", "decode_s"),
            "face_ms_per_frame": float(np.mean([video["face_ms"] for video in videos.values()])),
            "recall": recall_of(FacePolicy(), options.data, every=20),
            "videos": videos,
        },
        options.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
