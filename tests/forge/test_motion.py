"""The families that are about motion: whose expression is seen, and when."""

import numpy as np
import pytest

from mover_ray.forge.base import Clip, ForgeError
from mover_ray.forge.face2face import _to_and_fro
from mover_ray.forge.registry import build_manipulation
from tests.forge.samples import face_points, make_clip, place_points


def talking(openings: list[float], seed: int = 3) -> Clip:
    clip = make_clip(seed, frames=len(openings), still=True)
    landmarks = np.stack([place_points(face_points(o), 60.0, (64, 58)) for o in openings])
    return Clip(clip.frames, landmarks)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_driving_clip_runs_to_and_fro_without_jumps(length):
    for start in range(2 * length):
        path = _to_and_fro(start, 20, length)
        assert path.min() >= 0
        assert path.max() <= length - 1
        assert np.abs(np.diff(path)).max() <= 1
        assert length == 1 or set(path.tolist()) == set(range(length))


def test_the_mouth_of_a_still_face_follows_the_driver():
    still = talking([0.05] * 10)
    driver = talking([0.02, 0.02, 0.02, 0.12, 0.12, 0.12, 0.02, 0.02, 0.02, 0.02])
    settings = {"eyes": 0.0, "sharpness": 0.0, "smoothing_frames": 0.0}
    forgery = build_manipulation("face2face", settings)(still, driver, np.random.default_rng(0))
    moved = np.abs(forgery.frames.astype(int) - forgery.frames[0]).mean(axis=(1, 2, 3))
    assert moved.max() > 0.1
    mask = forgery.masks.max(axis=0)
    eyes = still.landmarks[0, 36:48].mean(axis=0).astype(int)
    mouth = still.landmarks[0, 48:68].mean(axis=0).astype(int)
    assert mask[mouth[1], mouth[0]] > 0.9
    assert mask[eyes[1], eyes[0]] == 0


def test_a_driver_without_motion_is_no_driver():
    still = talking([0.05] * 10)
    manipulation = build_manipulation("face2face", {"sharpness": 0.0})
    with pytest.raises(ForgeError, match="changes too little"):
        manipulation(still, still, np.random.default_rng(0))


def test_temporal_shows_real_frames_in_another_order():
    clip = make_clip(frames=24)
    forgery = build_manipulation("temporal", {})(clip, None, np.random.default_rng(2))
    known = [frame.tobytes() for frame in clip.frames]
    order = [known.index(frame.tobytes()) for frame in forgery.frames]
    assert sorted(order) == list(range(24))
    for index, place in enumerate(order):
        assert forgery.masks[index].min() == forgery.masks[index].max() == float(index != place)


def test_temporal_stays_within_its_windows_and_keeps_blocks():
    clip = make_clip(frames=24)
    settings = {"window_frames": [8, 8], "block_frames": [2, 2]}
    forgery = build_manipulation("temporal", settings)(clip, None, np.random.default_rng(2))
    known = [frame.tobytes() for frame in clip.frames]
    order = np.array([known.index(frame.tobytes()) for frame in forgery.frames])
    assert np.array_equal(order // 8, np.arange(24) // 8)
    assert (order[1::2] == order[::2] + 1).all()


def test_temporal_needs_an_order():
    manipulation = build_manipulation("temporal", {})
    with pytest.raises(ForgeError, match="one frame has no order"):
        manipulation(make_clip(frames=1), None, np.random.default_rng(0))
    with pytest.raises(ForgeError, match="changes too little"):
        manipulation(make_clip(frames=9, still=True), None, np.random.default_rng(0))
