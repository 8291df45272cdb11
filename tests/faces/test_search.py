"""Faces are followed, new ones are noticed, and little is searched for it."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from mover_ray.faces.base import Detections, Floats, Image
from mover_ray.faces.boxes import iou
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.registry import build_detector
from mover_ray.faces.search import FaceSearch, search_px

# Read off the portrait of 512 pixels by eye: the box as CenterFace draws it.
_FACE = np.array([182, 70, 268, 180], np.float32)


class _Counting:
    """The real detector, and how many pixels it was shown in each call."""

    def __init__(self) -> None:
        self._detector = build_detector(FacePolicy())
        self.pixels: list[int] = []

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        self.pixels.append(sum(image.shape[0] * image.shape[1] for image in images))
        return self._detector.detect(images)


@pytest.fixture(scope="module")
def detector() -> _Counting:
    return _Counting()


@pytest.fixture
def search(detector) -> FaceSearch:
    detector.pixels.clear()
    return FaceSearch(detector, FacePolicy())


def _scene(size: tuple[int, int], level: int = 120) -> Image:
    """A smooth background, none of its pixels quite like the next."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    gray = level + 20 * np.sin(rows / 90) + 20 * np.cos(columns / 70)
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)


def _put(frame: Image, portrait: Image, place: tuple[int, int], face_px: int) -> Floats:
    """Puts the portrait where its face is `face_px` wide; gives the box of the face."""
    side = round(512 * face_px / 86)
    picture = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    picture = picture[: round(0.55 * side)]
    x, y = place
    frame[y : y + len(picture), x : x + side] = picture
    return _FACE * (side / 512) + np.array([x, y, x, y], np.float32)


def _found(seen: Detections, box: Floats) -> bool:
    certain = seen.boxes[seen.scores >= 0.8]
    return bool(iou(box[None], certain).max(initial=0.0) >= 0.4)


@pytest.mark.parametrize(("size", "face_px"), [((480, 854), 42), ((1080, 1920), 42)])
def test_small_faces_are_found_and_followed(search, portrait, size, face_px):
    """Two faces of little more than the least size that is scored, moving apart."""
    for number in range(5):
        frame = _scene(size)
        boxes = [
            _put(frame, portrait, (60 + 9 * number, 40), face_px),
            _put(frame, portrait, (size[1] - 330 - 8 * number, size[0] // 2), face_px),
        ]
        seen = search.find([frame])[0]
        assert all(_found(seen, box) for box in boxes)
    assert search.everywhere == 1


def test_following_costs_a_small_part(search, detector, portrait):
    frame = _scene((720, 1280))
    _put(frame, portrait, (300, 100), 100)
    for _ in range(4):
        search.find([frame])
    first, *others = detector.pixels
    assert len(others) == 3
    assert max(others) * 10 < first


@pytest.mark.parametrize("face_px", [44, 90, 150])
def test_a_face_that_enters_is_found_at_once(search, portrait, face_px):
    """Small or big, without a cut and before the next search everywhere."""
    for number in range(4):
        frame = _scene((720, 1280))
        known = _put(frame, portrait, (1, 300), 48)
        late = _put(frame, portrait, (300, 40), face_px) if number >= 2 else None
        seen = search.find([frame])[0]
        assert _found(seen, known)
        assert late is None or _found(seen, late)
    assert search.everywhere == 1


def test_after_a_cut_everything_is_searched(search, portrait):
    before, after = _scene((480, 854)), _scene((480, 854), level=60)
    _put(before, portrait, (100, 60), 80)
    boxes = [_put(after, portrait, (100, 60), 80), _put(after, portrait, (600, 200), 42)]
    search.find([before, before])
    seen = search.find([after])[0]
    assert all(_found(seen, box) for box in boxes)
    assert search.everywhere == 2


def test_a_lost_face_is_searched_everywhere(search, portrait):
    """It jumps further than its window reaches."""
    there, here = _scene((480, 854)), _scene((480, 854))
    _put(there, portrait, (0, 60), 50)
    box = _put(here, portrait, (540, 60), 50)
    search.find([there, there])
    assert search.everywhere == 1
    assert _found(search.find([here])[0], box)
    assert search.everywhere == 2


def test_no_face_is_searched_for_everywhere(search):
    assert [len(seen) for seen in search.find([_scene((240, 320))] * 3)] == [0, 0, 0]
    assert search.everywhere == 3


def test_everything_is_searched_every_so_many_frames(detector, portrait):
    frame = _scene((480, 854))
    _put(frame, portrait, (100, 60), 80)
    search = FaceSearch(detector, FacePolicy(search_every=3))
    search.find([frame] * 7)
    assert search.everywhere == 3


def test_everything_is_searched_sooner_where_much_changes(detector, portrait):
    """A place too large to be looked at in full may hold the smallest face."""
    search = FaceSearch(detector, FacePolicy(search_every=8))
    for number in range(6):
        frame = _scene((480, 854))
        _put(frame, portrait, (1, 60), 50)
        # A quarter of the picture, less than a cut.
        frame[:, 600:] += np.uint8(60 * (number % 2))
        search.find([frame])
    assert search.everywhere == 2


def test_many_faces_are_searched_for_together(detector, portrait):
    """Where windows would cost more than the frame, the frame is searched."""
    frame = _scene((480, 854))
    boxes = [_put(frame, portrait, (x, y), 42) for x in (0, 200, 400, 600) for y in (20, 180, 340)]
    search = FaceSearch(detector, FacePolicy())
    for seen in search.find([frame] * 2):
        assert all(_found(seen, box) for box in boxes)
    assert search.everywhere == 2


def test_batches_change_nothing(detector, portrait):
    frames = []
    for number in range(6):
        frames.append(_scene((480, 854), level=60 if number > 3 else 120))
        _put(frames[-1], portrait, (90 + 12 * number, 30), 70)
    for every in (1, 16):
        policy = FacePolicy(search_every=every)
        together = FaceSearch(detector, policy).find(frames)
        one_by_one = FaceSearch(detector, policy)
        for frame, seen in zip(frames, together, strict=True):
            alone = one_by_one.find([frame])[0]
            assert np.array_equal(alone.boxes, seen.boxes)
            assert np.array_equal(alone.scores, seen.scores)


def test_size_of_the_search_follows_the_least_face():
    def longer(width: int, policy: FacePolicy) -> int:
        return search_px(np.zeros((width // 2, width, 3), np.uint8), policy)

    assert longer(1920, FacePolicy()) == 960
    assert longer(1920, FacePolicy(eligible_face_px=80)) == 480
    assert longer(1920, FacePolicy(detection_face_px=80)) == 1152
    assert longer(640, FacePolicy(detection_face_px=80)) == 640
    assert longer(7680, FacePolicy()) == 1152
    assert longer(2, FacePolicy()) == 1
