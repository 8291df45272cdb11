"""Five levels of damage, each worse than the one before, and the same every time."""

import io
import itertools
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from mover_ray.errors import ConfigError
from mover_ray.forge.degradations import DEGRADATIONS, LEVELS, degrade, degrade_video

FPS = Fraction(25)


@pytest.fixture(scope="module")
def frames():
    """Soft colourful texture at every scale."""
    rng = np.random.default_rng(0)
    mixed = np.zeros((4, 128, 192, 3))
    for index, sigma_px in itertools.product(range(4), (1, 3, 9)):
        texture = cv2.GaussianBlur(rng.normal(size=(128, 192, 3)), (0, 0), sigma_px)
        mixed[index] += texture / texture.std()
    return np.clip(128 + 25 * mixed, 0, 255).astype(np.uint8)


def decoded(data):
    with av.open(io.BytesIO(data), "r") as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def damage(frames, kind, level):
    back = decoded(degrade_video(frames, FPS, kind, level))
    assert back.shape == frames.shape
    return float(np.abs(back.astype(float) - frames).mean())


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_each_level_is_worse_than_the_one_before(frames, kind):
    damages = [damage(frames, kind, level) for level in LEVELS]
    assert np.diff(damages).min() > 0
    assert damages[-1] > damages[0] + 2


def test_level_0_is_the_same_for_every_kind(frames):
    assert len({degrade_video(frames, FPS, kind, 0) for kind in DEGRADATIONS}) == 1


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_the_same_seed_gives_the_same_bytes(frames, kind):
    assert degrade_video(frames, FPS, kind, 3) == degrade_video(frames, FPS, kind, 3)


def test_noise_has_its_seed_and_its_strength(frames):
    gray = np.full((3, 64, 96, 3), 128, np.uint8)
    for level, sigma in enumerate(DEGRADATIONS["noise"].values, start=1):
        noisy = np.stack(list(degrade(gray, "noise", level)))
        assert noisy.std() == pytest.approx(sigma, rel=0.03)
        assert not np.array_equal(noisy[0], noisy[1])
    one, other = (np.stack(list(degrade(gray, "noise", 3, seed))) for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_full_loss_of_colour_is_gray(frames):
    for image in degrade(frames, "colour", 5):
        assert np.ptp(image.astype(int), axis=2).max() == 0


def test_frames_are_not_written_into(frames):
    before = frames.copy()
    for kind in DEGRADATIONS:
        list(degrade(frames, kind, 5))
    assert np.array_equal(frames, before)


def test_what_is_unknown_is_named_with_what_is_near(frames):
    with pytest.raises(ConfigError, match="unknown degradation: `blurr`") as caught:
        degrade(frames, "blurr", 1)
    assert caught.value.hint == "did you mean `blur`?"
    with pytest.raises(ConfigError, match="unknown level: `6`"):
        degrade(frames, "blur", 6)
