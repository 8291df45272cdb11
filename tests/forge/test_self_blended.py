import numpy as np
import pytest

from mover_ray.errors import ConfigError
from mover_ray.forge.base import Clip
from mover_ray.forge.registry import build_manipulation
from tests.forge.samples import make_clip


def flicker(name: str, clip: Clip, seed: int) -> float:
    """Mean |change between neighbouring frames| of what the forgery added."""
    forgery = build_manipulation(name, {})(clip, None, np.random.default_rng(seed))
    added = forgery.frames.astype(np.int16) - clip.frames
    return float(np.abs(np.diff(added, axis=0)).mean())


def test_one_set_of_strengths_does_not_flicker_and_jitter_lies_between():
    clip = make_clip(4, frames=6, still=True)
    found = {
        name: np.mean([flicker(name, clip, seed) for seed in range(6)])
        for name in ("self_blended", "self_blended_jitter", "self_blended_image")
    }
    assert found["self_blended"] == 0
    assert 0.1 < found["self_blended_jitter"] < found["self_blended_image"]


def test_trembling_landmarks_are_averaged_away():
    clip = make_clip(4, frames=12, still=True)
    rng = np.random.default_rng(0)
    trembling = clip.landmarks + rng.normal(0, 1, (12, 1, 2)).astype(np.float32)
    shaken = Clip(clip.frames, trembling)
    plain = {"smoothing_frames": 0.0}
    masks = [
        build_manipulation("self_blended", settings)(shaken, None, np.random.default_rng(1)).masks
        for settings in ({}, plain)
    ]
    smoothed, raw = (np.abs(np.diff(mask, axis=0)).mean() for mask in masks)
    assert smoothed < 0.5 * raw


def test_fine_detail_is_as_often_more_as_less():
    def detail(picture, mask):
        return np.abs(np.diff(picture[..., 1].astype(float), axis=1))[mask[:, 1:] > 0.5].mean()

    manipulation = build_manipulation("self_blended", {})
    sharper = []
    for seed in range(60):
        clip = make_clip(seed, frames=1)
        forgery = manipulation(clip, None, np.random.default_rng(seed))
        mask = forgery.masks[0]
        sharper.append(detail(forgery.frames[0], mask) > detail(clip.frames[0], mask))
    # Within 2.6 standard deviations of a fair coin.
    assert 20 <= sum(sharper) <= 40


@pytest.mark.parametrize("opacities", [[], [0.0], [0.5, 1.5]])
def test_opacities_are_checked(opacities):
    with pytest.raises(ConfigError, match="opacities"):
        build_manipulation("self_blended", {"opacities": opacities})


def test_the_consistency_can_be_set():
    clip = make_clip(4, frames=3, still=True)
    settings = {"consistency": "image"}
    forgery = build_manipulation("self_blended", settings)(clip, None, np.random.default_rng(0))
    assert not np.array_equal(forgery.masks[0], forgery.masks[1])
    with pytest.raises(ConfigError, match="unknown consistency"):
        build_manipulation("self_blended", {"consistency": "film"})
