from itertools import pairwise

import numpy as np
import pytest

from mover_ray.forge.base import Clip, ForgeError
from mover_ray.forge.landmarks import to_unit
from mover_ray.forge.partners import (
    cheapest_path,
    find_donors,
    mirror,
    pose_distance,
    shape_distances,
)
from mover_ray.status import Status
from tests.forge.samples import make_clip


def turned(clip: Clip, amount: float) -> Clip:
    """The head turned: the inner face slides sideways over the jaw."""
    landmarks = clip.landmarks.copy()
    landmarks[:, 17:, 0] += amount * 60
    return Clip(clip.frames, landmarks)


def test_a_mirrored_clip_is_a_clip_and_mirrors_back():
    clip = turned(make_clip(), 0.1)
    twice = mirror(mirror(clip))
    assert np.array_equal(twice.frames, clip.frames)
    assert np.allclose(twice.landmarks, clip.landmarks)
    left, right = clip.landmarks[:, 36].mean(), mirror(clip).landmarks[:, 45].mean()
    assert left != right


def test_a_partner_that_looks_the_other_way_is_mirrored():
    clip, partner = turned(make_clip(1), 0.12), turned(make_clip(2), -0.12)
    donors = find_donors(clip.landmarks, partner, 0.0, 0.085)
    assert np.array_equal(donors.clip.frames, partner.frames[:, :, ::-1])
    assert pose_distance(clip.landmarks, partner) < 0.02
    same_way = find_donors(clip.landmarks, turned(make_clip(2), 0.12), 0.0, 0.085)
    assert np.array_equal(same_way.clip.frames, partner.frames)


def test_a_partner_that_is_turned_too_far_is_refused():
    with pytest.raises(ForgeError, match="turned too differently") as caught:
        find_donors(make_clip().landmarks, turned(make_clip(), 0.25), 0.0, 0.085)
    assert caught.value.status == Status.UNSUPPORTED


def test_each_frame_finds_its_like():
    clip = make_clip(frames=8)
    donors = find_donors(clip.landmarks[::-1].copy(), clip, 0.0, 0.085)
    # Neighbours that look alike may stand in for each other.
    assert np.abs(np.array(donors.frames) - np.arange(7, -1, -1)).max() <= 1
    assert np.array_equal(donors.landmarks, clip.landmarks[donors.frames])


def test_distances_are_those_of_the_definition():
    points = to_unit(make_clip(frames=3).landmarks)
    found = shape_distances(points, points[:2])
    for i, j in np.ndindex(3, 2):
        expected = ((points[i] - points[j]) ** 2).sum(axis=1).mean()
        assert found[i, j] == pytest.approx(expected, abs=1e-6)


def test_the_path_is_the_cheapest_of_all():
    rng = np.random.default_rng(0)
    distances = rng.random((4, 3)).astype(np.float32)
    price = 0.02 * float(distances.mean())

    def cost(path) -> float:
        jumps = sum(abs(int(a) - int(b)) for a, b in pairwise(path))
        return float(sum(distances[t, p] for t, p in enumerate(path))) + price * jumps

    best = min(cost(path) for path in np.ndindex(3, 3, 3, 3))
    assert cost(cheapest_path(distances).tolist()) == pytest.approx(best)


def test_one_noisy_frame_makes_no_jump():
    distances = np.ones((5, 40), np.float32)
    distances[:, 3] = 0
    distances[2, 3], distances[2, 39] = 0.1, 0.0
    assert cheapest_path(distances).tolist() == [3] * 5
