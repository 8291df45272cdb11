import numpy as np
import pytest

from mover_ray.forge.base import Clip, ForgeError, Forgery
from mover_ray.status import Status
from tests.forge.samples import make_clip

CLIP = make_clip()


def refused(frames, landmarks) -> ForgeError:
    with pytest.raises(ForgeError) as caught:
        Clip(frames, landmarks)
    return caught.value


def test_a_clip_has_a_length():
    assert len(CLIP) == 4


@pytest.mark.parametrize(
    "frames",
    [
        CLIP.frames.astype(np.float32),
        CLIP.frames[0],
        CLIP.frames[..., :1],
        CLIP.frames[:0],
        CLIP.frames[:, :0],
    ],
)
def test_frames_that_are_none_are_refused(frames):
    assert refused(frames, CLIP.landmarks).status == Status.UNSUPPORTED


@pytest.mark.parametrize(
    "landmarks",
    [CLIP.landmarks[:2], CLIP.landmarks[:, :5], CLIP.landmarks.astype(np.float64)],
)
def test_landmarks_that_do_not_fit_the_frames_are_refused(landmarks):
    error = refused(CLIP.frames, landmarks)
    assert error.status == Status.UNSUPPORTED
    assert str(list(landmarks.shape)) in str(error)


def test_no_landmarks_are_no_face():
    assert refused(CLIP.frames, CLIP.landmarks[:0]).status == Status.NO_FACE


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.full((68, 2), np.nan), "no numbers: 1 of 4 frames, first 2"),
        (np.full((68, 2), np.inf), "no numbers"),
        (np.zeros((68, 2)), "smaller than 16 px"),
        (CLIP.landmarks[0] + 5000, "far outside"),
        (CLIP.landmarks[0] - (70, 0), "lies outside"),
        ((CLIP.landmarks[0] - 60) * 0.2 + 60, "smaller than 16 px"),
    ],
)
def test_one_frame_without_a_face_is_named(points, reason):
    landmarks = CLIP.landmarks.copy()
    landmarks[2] = points
    error = refused(CLIP.frames, landmarks)
    assert error.status == Status.NO_FACE
    assert reason in str(error)


def test_coinciding_landmarks_are_an_error_of_the_clip():
    points = CLIP.landmarks.copy()
    points[:, 27:] = 60.0
    clip = Clip(CLIP.frames, points)
    from mover_ray.forge.registry import build_manipulation

    with pytest.raises(ForgeError, match="landmarks are no face"):
        build_manipulation("self_blended", {})(clip, None, np.random.default_rng(0))


def test_a_forgery_must_have_masks_that_fit():
    masks = np.zeros(CLIP.frames.shape[:3], dtype=np.float32)
    Forgery(CLIP.frames, masks)
    wrongs: list[np.ndarray] = [masks[:1], masks + 1.5, masks - 0.1, masks * np.nan]
    for wrong in [*wrongs, masks.astype(np.float64)]:
        with pytest.raises(ValueError, match=r"types|shapes|leaves"):
            Forgery(CLIP.frames, wrong)
