"""Recall of small faces, several a frame, that enter late and change with cuts; one core.

    python benchmarks/small_faces.py --data DIR --json FILE

Frames are put together: talking heads, scaled until the face's shorter side has 42 to 64 pixels,
on a smooth background of 480p and 1080p. Three are there from the start, a fourth enters 5 and
a fifth 10 sampled frames later; after 18 of 32 frames everything changes and starts again. Where
a face is comes from a search in the unscaled video.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from faces import Tally, detector_of, sampled, timed, videos
from harness import parser, report, use_one_core

from mover_ray.faces.base import Floats, Image
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.search import FaceSearch
from mover_ray.faces.windows import find_shrunk
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sandbox import VideoReader

_SIZES = {"480p": (480, 854), "1080p": (1080, 1920)}
_FACES_PX = (42.0, 64.0)
_FRAMES, _CUT, _TILES = 32, 18, 5
_ENTERS = (0, 0, 0, 5, 10)
# Not larger than the room for one of five side by side, once scaled.
_MOST_SOURCE_PX = 720


@dataclass(frozen=True, slots=True)
class Head:
    """One video of one talking head."""

    images: list[Image]
    boxes: Floats
    """[F, 4] in pixels of the images."""

    def scaled(self, face_px: float) -> tuple[list[Image], Floats]:
        """Gives images and boxes at the size where the median face has `face_px`."""
        scale = face_px / float(np.median((self.boxes[:, 2:] - self.boxes[:, :2]).min(axis=1)))
        height, width = (round(side * scale) for side in self.images[0].shape[:2])
        small = [
            np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
            for image in self.images
        ]
        return small, self.boxes * np.float32(scale)


def heads(data: Path) -> Iterator[Head]:
    """Gives the talking heads of which one face is certain in every sampled frame."""
    detector = detector_of("centerface", Path())
    talking = [path for path in videos(data, 1) if path.parent.name == "talking"]
    with VideoReader(VideoBudget()) as reader:
        for path in talking[::4]:
            images = [frame.image for frame in sampled(reader, path)]
            if len(images) < _FRAMES or max(images[0].shape) > _MOST_SOURCE_PX:
                continue
            seen = [find_shrunk(detector, [image], [192])[0] for image in images]
            if all(len(faces) and faces.scores[0] >= 0.8 for faces in seen):
                yield Head(images, np.stack([faces.boxes[0] for faces in seen]))


def wall(pool: list[Head], size: tuple[int, int], seed: int) -> tuple[list[Image], list[Floats]]:
    """Puts a video together: frames, and the boxes [K, 4] of each."""
    chance = np.random.default_rng(seed)
    images = [_background(size, number >= _CUT) for number in range(_FRAMES)]
    boxes: list[list[Floats]] = [[] for _ in images]
    for first, end in ((0, _CUT), (_CUT, _FRAMES)):
        for tile, enters in enumerate(_ENTERS):
            small, places = pool[chance.integers(len(pool))].scaled(chance.uniform(*_FACES_PX))
            height, width = small[0].shape[:2]
            room = size[1] // _TILES
            if width > room or height > size[0]:
                continue
            left = tile * room + int(chance.integers(room - width + 1))
            top = int(chance.integers(size[0] - height + 1))
            for number in range(min(first + enters, end), end):
                images[number][top : top + height, left : left + width] = small[number]
                boxes[number].append(places[number] + np.array([left, top] * 2, np.float32))
    return images, [np.array(faces, np.float32).reshape(-1, 4) for faces in boxes]


def _background(size: tuple[int, int], cut: bool) -> Image:
    """A smooth picture, darker after the cut."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    level = 60 if cut else 120
    gray = level + 25 * np.sin(rows / 130) + 25 * np.cos(columns / 170)
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)


def search_all(policy: FacePolicy, images: list[Image], truth: list[Floats], tally: Tally) -> None:
    """Searches one video as the face stage does."""
    search = FaceSearch(detector_of(policy.detector, Path()), policy)
    for image, faces in zip(images, truth, strict=True):
        large = (faces[:, 2:] - faces[:, :2]).min(axis=1, initial=np.inf) >= 40
        tally.count(faces[large], timed(tally, partial(search.find, [image]))[0])


def policies() -> dict[str, FacePolicy]:
    """Gives the policies that are compared."""
    policy = FacePolicy()
    return {
        "every frame at 480 px": replace(
            policy, detection_face_px=40, detection_size_px=480, search_every=1
        ),
        "every frame, faces of 24 px": replace(policy, detection_face_px=24, search_every=1),
        "every frame, faces of 20 px": replace(policy, detection_face_px=20, search_every=1),
        "every frame, faces of 16 px": replace(policy, detection_face_px=16, search_every=1),
        "default": policy,
    }


def main() -> int:
    """Measures, prints and writes the figures."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--walls", type=int, default=5, help="videos of each size (5)")
    options = arguments.parse_args()
    use_one_core()
    cv2.setNumThreads(1)
    pool = list(heads(options.data))
    tallies = {f"{name}, {size}": Tally() for size in _SIZES for name in policies()}
    for size, shape in _SIZES.items():
        for seed in range(options.walls):
            images, truth = wall(pool, shape, seed)
            for name, policy in policies().items():
                search_all(policy, images, truth, tallies[f"{name}, {size}"])
    report({"searches": {name: tally.row() for name, tally in tallies.items()}}, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
