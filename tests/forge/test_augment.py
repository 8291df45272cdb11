import subprocess
import sys

import numpy as np
import pytest

from mover_ray.errors import ConfigError
from mover_ray.forge.augment import PairAugment, PairConfig
from mover_ray.forge.base import ForgeError
from mover_ray.forge.partner_bank import PartnerBank
from mover_ray.forge.quality import Quality, QualityConfig
from tests.forge.samples import make_clip

UNTOUCHED = QualityConfig(flip=0, recolour=0, uneven=0, blur=0, rescale=0, noise=0, jpeg=0)
STEPS = ("recolour", "uneven", "blur", "rescale", "noise", "jpeg")


def sample(seed: int = 0):
    clip = make_clip(seed, frames=1, size=(128, 128), side=90)
    return clip.frames[0], clip.landmarks[0]


def only(**values) -> QualityConfig:
    nothing = dict.fromkeys(("flip", *STEPS), 0.0)
    return QualityConfig(**{**nothing, **values})


def test_without_changes_of_quality_only_the_mask_differs():
    crop, landmarks = sample()
    pair = PairAugment(PairConfig(quality=UNTOUCHED))(crop, landmarks, np.random.default_rng(0))
    assert np.array_equal(pair.real, crop)
    assert np.array_equal(pair.landmarks, landmarks)
    assert np.array_equal(pair.fake[pair.mask == 0], crop[pair.mask == 0])
    assert (pair.fake[pair.mask > 0.9] != crop[pair.mask > 0.9]).mean() > 0.5


def test_the_same_state_gives_the_same_pair():
    crop, landmarks = sample()
    augment = PairAugment(PairConfig())
    first, again, other = (augment(crop, landmarks, np.random.default_rng(s)) for s in (1, 1, 2))
    for name in ("real", "fake", "mask", "landmarks"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.real.tobytes() != other.real.tobytes()


def test_quality_is_the_same_for_real_and_fake():
    crop, landmarks = sample()
    pointwise = only(flip=1.0, recolour=1.0, noise=1.0)
    augment = PairAugment(PairConfig(quality=pointwise))
    for seed in range(5):
        pair = augment(crop, landmarks, np.random.default_rng(seed))
        assert np.array_equal(pair.fake[pair.mask == 0], pair.real[pair.mask == 0])


def test_quality_does_not_depend_on_the_picture():
    augment = PairAugment(PairConfig(quality=only(recolour=1.0, noise=1.0)))
    flat = np.full((128, 128, 3), 128, np.uint8)
    changes = []
    for seed in (0, 1):
        crop, landmarks = sample(seed)
        crop[:20] = flat[:20]
        pair = augment(crop, landmarks, np.random.default_rng(7))
        changes.append(pair.real[:20])
    assert np.array_equal(changes[0], changes[1])


def test_a_flip_moves_pixels_landmarks_and_mask_together():
    crop, landmarks = sample()
    seed = 3
    straight, flipped = (
        PairAugment(PairConfig(quality=quality))(crop, landmarks, np.random.default_rng(seed))
        for quality in (only(), only(flip=1.0))
    )
    assert np.array_equal(flipped.real, straight.real[:, ::-1])
    assert np.array_equal(flipped.fake, straight.fake[:, ::-1])
    assert np.array_equal(flipped.mask, straight.mask[:, ::-1])
    assert np.allclose(flipped.landmarks[36], straight.landmarks[45] * (-1, 1) + (127, 0))


@pytest.mark.parametrize("name", STEPS)
def test_each_change_happens_as_often_as_asked(name):
    crop, _ = sample()
    never, always = (Quality.draw(only(**{name: p}), np.random.default_rng(0)) for p in (0.0, 1.0))
    assert np.array_equal(never.pixels(crop), crop)
    changed = always.pixels(crop)
    assert changed.shape == crop.shape
    assert changed.dtype == np.uint8
    assert changed.flags["C_CONTIGUOUS"]
    assert not np.array_equal(changed, crop)
    assert np.abs(changed.astype(int) - crop).mean() < 60
    half = [Quality.draw(only(**{name: 0.5}), np.random.default_rng(s)) for s in range(100)]
    assert 30 < sum(bool(quality.steps) for quality in half) < 70


def test_compression_keeps_colours_in_their_channels():
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    changed = Quality.draw(only(jpeg=1.0), np.random.default_rng(0)).pixels(red)
    assert np.abs(changed.astype(int) - red).max() < 12


@pytest.mark.parametrize(
    ("name", "value"),
    [("jpeg", 1.5), ("scale", (0.5, 1.5)), ("jpeg_quality", (90, 40)), ("noise_levels", (1.0,))],
)
def test_ranges_are_checked(name, value):
    with pytest.raises(ConfigError, match=name):
        QualityConfig(**{name: value})


@pytest.mark.parametrize("families", [{}, {"self_blended": 0.0}, {"self_blended": -1.0}])
def test_a_family_must_be_left(families):
    with pytest.raises(ConfigError, match="families"):
        PairConfig(families=families)


def test_an_unknown_family_is_named():
    with pytest.raises(ConfigError, match="self_blend`"):
        PairAugment(PairConfig(families={"self_blend": 1.0}))


def test_families_with_a_partner_take_part_where_there_is_one():
    crop, landmarks = sample()
    config = PairConfig(families={"faceswap": 1.0}, quality=UNTOUCHED)
    for lonely in (None, PartnerBank([(crop, landmarks)])):
        with pytest.raises(ForgeError, match="no family works without a partner"):
            PairAugment(config, lonely)(crop, landmarks, np.random.default_rng(0))
    bank = PartnerBank([(crop, landmarks), sample(1)])
    pair = PairAugment(config, bank)(crop, landmarks, np.random.default_rng(0))
    assert pair.mask.max() > 0.9


def test_where_one_family_fails_another_steps_in():
    crop, landmarks = sample()
    augment = PairAugment(
        PairConfig(families={"temporal": 1000.0, "self_blended": 1.0}, quality=UNTOUCHED)
    )
    pair = augment(crop, landmarks, np.random.default_rng(0))
    assert 0 < (pair.mask > 0.5).mean() < 0.8


def test_weights_are_frequencies():
    augment = PairAugment(PairConfig(families={"self_blended": 3.0, "neuraltextures": 1.0}))
    rng = np.random.default_rng(0)
    firsts = [augment._order(rng, alone=True)[0].name for _ in range(400)]
    assert 0.68 < firsts.count("self_blended") / 400 < 0.82


def test_no_face_is_an_error():
    crop, landmarks = sample()
    with pytest.raises(ForgeError, match="no numbers"):
        PairAugment(PairConfig())(crop, landmarks * np.float32(np.nan), np.random.default_rng(0))


def test_the_training_path_imports_numpy_and_opencv_alone():
    blocked = ["torch", "timm", "av", "ray", "dlib", "boto3", "onnxruntime", "pyarrow", "sklearn"]
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "from mover_ray.forge.augment import PairAugment, PairConfig\n"
        "from mover_ray.forge.registry import MANIPULATIONS\n"
        "PairAugment(PairConfig(families=dict.fromkeys(MANIPULATIONS, 1.0)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
