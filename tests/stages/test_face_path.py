"""Which face of a clip is forged, and where it is in frames that do not show it."""

import numpy as np
import pytest

from mover_ray.errors import InputError
from mover_ray.faces.observations import FaceObservation, FaceTracks
from mover_ray.stages.face_path import FacePathConfig, main_face

FACE = np.random.default_rng(0).uniform(0, 1, (68, 2))
# Of the frame into the crop: twice as large, shifted.
AFFINE = np.array([[2, 0, -30], [0, 2, 10]], np.float32)


def seen(track, frame, size_px=50.0):
    points = FACE * size_px + frame
    return FaceObservation(
        track_id=track, frame_index=frame, time_s=frame / 25, group=frame,
        box=np.zeros(4, np.float32), score=0.9, affine=AFFINE,
        landmarks=(points * 2 + [-30, 10]).astype(np.float32), part_boxes={}, quality=0.5,
        crop=None,
    )  # fmt: skip


def tracks(*observations, eligible=(0, 1)):
    return FaceTracks(list(observations), set(eligible), frames_seen=30)


def test_landmarks_are_in_pixels_of_the_frame():
    path = main_face(tracks(*(seen(0, frame) for frame in range(10))), FacePathConfig())
    assert path.landmarks.dtype == np.float32
    assert (path.first, path.landmarks.shape) == (0, (10, 68, 2))
    assert path.landmarks[4] == pytest.approx(FACE * 50 + 4, abs=1e-3)
    assert path.face_px == pytest.approx(50 * np.ptp(FACE, axis=0).max())


def test_a_small_gap_is_bridged_by_a_straight_line():
    path = main_face(tracks(*(seen(0, f) for f in range(12) if f not in (4, 5))), FacePathConfig())
    assert len(path.landmarks) == 12
    assert path.landmarks[5] == pytest.approx(FACE * 50 + 5, abs=1e-3)


def test_a_large_gap_cuts_and_the_longer_side_is_taken():
    frames = [*range(9), *range(13, 30)]
    path = main_face(tracks(*(seen(0, frame) for frame in frames)), FacePathConfig())
    assert (path.first, len(path.landmarks)) == (13, 17)
    whole = main_face(tracks(*(seen(0, frame) for frame in frames)), FacePathConfig(longest_gap=4))
    assert len(whole.landmarks) == 30


def test_the_face_that_is_large_and_long_is_taken():
    observations = [seen(0, frame, 40) for frame in range(10)] + [seen(1, f, 90) for f in range(9)]
    assert main_face(tracks(*observations), FacePathConfig()).landmarks.shape[0] == 9
    assert main_face(tracks(*observations, eligible=[0]), FacePathConfig()).face_px < 41


@pytest.mark.parametrize(("frames", "eligible", "found"), [(7, [0], 7), (10, [], 0), (0, [0], 0)])
def test_without_a_face_throughout_there_is_no_clip(frames, eligible, found):
    with pytest.raises(InputError, match=f"followed through {found} of 30 frames") as caught:
        main_face(tracks(*(seen(0, f) for f in range(frames)), eligible=eligible), FacePathConfig())
    assert caught.value.status == "no_face"


def test_the_jaw_does_not_depend_on_place_and_size():
    near, far = (
        main_face(tracks(*(seen(0, frame, size) for frame in range(9))), FacePathConfig()).jaw()
        for size in (50.0, 200.0)
    )
    assert near.shape == (17, 2)
    assert near == pytest.approx(far, abs=1e-3)
