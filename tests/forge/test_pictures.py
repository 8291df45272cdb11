"""Blending, colour and detail: what happens to pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.errors import ConfigError
from mover_ray.forge.base import Forgery
from mover_ray.forge.blending import Canvas, hide_seam, mix
from mover_ray.forge.colour import (
    ColourConfig,
    draw_colour,
    face_statistics,
    lab_statistics,
    recolour,
    to_lab,
    to_rgb,
    transfer,
)
from mover_ray.forge.detail import Grain, match_detail
from mover_ray.forge.draws import change, until_changed
from mover_ray.forge.masks import Edge, Region, ellipse_outline, soft_mask
from tests.forge.samples import make_clip, pair, texture

RNG = np.random.default_rng(0)
TARGET, OTHER = texture(RNG, 80, 90), texture(RNG, 80, 90)
FULL = Region(0, 0, 90, 80)
ROUND = soft_mask(ellipse_outline(pair(*[45, 40]), pair(*[28, 25])), 3.0, 0.1, FULL)
NOTHING, ALL = np.zeros((80, 90), np.float32), np.ones((80, 90), np.float32)


def test_no_weight_gives_the_input_back_and_full_weight_the_picture():
    assert np.array_equal(mix(TARGET, OTHER, NOTHING), TARGET)
    assert np.array_equal(mix(TARGET, OTHER.astype(np.float32), ALL), OTHER)


@given(seed=st.integers(0, 999))
def test_mixing_stays_between_the_two_and_keeps_what_has_no_weight(seed):
    rng = np.random.default_rng(seed)
    target, picture = rng.integers(0, 256, (2, 9, 7, 3)).astype(np.uint8)
    weights = np.clip(rng.uniform(-1, 1, (9, 7)), 0, 1).astype(np.float32)
    mixed = mix(target, picture, weights)
    assert (mixed >= np.minimum(target, picture)).all()
    assert (mixed <= np.maximum(target, picture)).all()
    assert np.array_equal(mixed[weights == 0], target[weights == 0])


def test_pictures_beyond_the_range_are_cut():
    assert (mix(TARGET, np.full((80, 90, 3), 400.0, np.float32), ALL) == 255).all()
    assert (mix(TARGET, np.full((80, 90, 3), -90.0, np.float32), ALL) == 0).all()


def test_a_canvas_changes_a_copy_and_joins_masks():
    clip = make_clip()
    canvas = Canvas(clip)
    region = Region(10, 20, 30, 50)
    black, weights = np.zeros((30, 20, 3)), np.full((30, 20), 0.5, dtype=np.float32)
    canvas.paint(1, region, black, weights)
    canvas.paint(1, region, black, weights * np.float32(0.5))
    forgery = canvas.forgery()
    assert region.cut(forgery.masks[1]).min() == 0.5
    assert forgery.masks.sum() == 300
    assert (region.cut(forgery.frames[1]) <= region.cut(clip.frames[1])).all()
    assert np.array_equal(forgery.frames[[0, 2, 3]], clip.frames[[0, 2, 3]])


def test_poisson_removes_a_constant_step_and_feathering_keeps_it():
    brighter = TARGET.astype(np.float32) + 20
    assert np.array_equal(hide_seam(TARGET, brighter, ROUND, "feather"), brighter)
    met = hide_seam(TARGET, brighter, ROUND, "poisson")
    assert np.abs(met - TARGET)[ROUND > 0].max() < 0.5


def test_poisson_follows_a_slope_of_brightness():
    slope = np.linspace(-20, 20, 90, dtype=np.float32)[None, :, None]
    met = hide_seam(TARGET, TARGET + slope, ROUND, "poisson")
    left = np.abs(slope).max()
    assert np.abs(met - TARGET)[ROUND > 0.5].mean() < 0.2 * left


def test_poisson_without_a_seam_changes_nothing():
    picture = OTHER.astype(np.float32)
    assert np.abs(hide_seam(TARGET, picture, ALL, "poisson") - picture).max() <= 30


def test_no_range_means_no_change_of_colour():
    still = ColourConfig(gain=0, brightness=0, contrast=0, saturation=0)
    assert np.allclose(recolour(TARGET, draw_colour(RNG, still)), TARGET, atol=1e-3)


def test_colours_move_both_ways_alike():
    rng = np.random.default_rng(1)
    gray = np.full((1, 1, 3), 128, np.uint8)
    moves = [recolour(gray, draw_colour(rng, ColourConfig()))[0, 0] - 128 for _ in range(500)]
    assert np.abs(np.mean(moves, axis=0)).max() < 1.5
    assert np.std(moves) > 3


@pytest.mark.parametrize("name", ["gain", "brightness", "contrast", "saturation"])
def test_colour_ranges_are_checked(name):
    with pytest.raises(ConfigError, match=name):
        ColourConfig(**{name: -0.1})


def test_lab_and_back_is_the_same_colour():
    assert np.abs(to_rgb(to_lab(TARGET)) - TARGET).max() < 1.5


def test_a_full_transfer_reaches_the_wanted_colours():
    warm = np.clip(TARGET.astype(np.float32) * (1.1, 0.95, 0.8), 0, 255)
    given_, wanted = lab_statistics(TARGET, ROUND), lab_statistics(warm, ROUND)
    reached = lab_statistics(transfer(TARGET, given_, wanted, 1.0), ROUND)
    assert np.allclose(reached, wanted, atol=1.0)
    untouched = transfer(TARGET, given_, wanted, 0.0)
    assert np.abs(untouched - TARGET).max() < 1.5


def test_a_flat_picture_has_colours_too():
    flat = np.full((8, 8, 3), 77, np.uint8)
    found = lab_statistics(flat, np.zeros((8, 8), np.float32))
    assert found[1].max() < 0.1
    assert np.isfinite(transfer(flat, found, lab_statistics(TARGET, ROUND), 1.0)).all()


def test_statistics_of_a_still_clip_are_the_same_in_each_frame():
    clip = make_clip(still=True)
    found = face_statistics(list(clip.frames), clip.landmarks, 3.0)
    assert found.shape == (4, 2, 3)
    assert np.allclose(found, found[:1], atol=1e-3)


def amount(picture) -> float:
    """Sharpness by another measure than the one that is matched."""
    return float(np.abs(np.diff(picture[..., 1].astype(float), axis=1))[ROUND[:, 1:] > 0.5].mean())


@pytest.mark.parametrize("ratio", [0.6, 1.0, 1.5])
@settings(max_examples=5)
@given(seed=st.integers(0, 99))
def test_detail_is_brought_to_the_wanted_ratio(ratio, seed):
    rng = np.random.default_rng(seed)
    picture, original = texture(rng, 80, 90), texture(rng, 80, 90)
    matched = match_detail(picture, original, ROUND, ratio, Grain(rng))
    assert amount(matched) / amount(original) == pytest.approx(ratio, rel=0.35)


def test_a_blurred_picture_gets_grain():
    flat = np.full_like(TARGET, 120)
    assert amount(flat) == 0
    matched = match_detail(flat, TARGET, ROUND, 1.0, Grain(RNG))
    assert amount(matched) > 0.3 * amount(TARGET)
    assert abs(float(matched.mean()) - 120) < 1


def test_grain_is_one_pattern_of_the_asked_amount():
    grain = Grain(np.random.default_rng(0))
    large = grain.cut((300, 400), 2.0)
    assert large.shape == (300, 400)
    assert np.median(np.abs(large)) == pytest.approx(2.0, rel=0.05)
    assert abs(float(large.mean())) < 0.05
    assert np.array_equal(grain.cut((50, 60), 2.0), large[:50, :60])


def test_an_empty_mask_leaves_a_picture_alone():
    matched = match_detail(OTHER, TARGET, NOTHING, 1.3, Grain(RNG))
    assert np.array_equal(matched, OTHER)


def test_change_is_measured_inside_the_mask_of_the_median_frame():
    clip = make_clip(frames=3)
    clip.frames[:] = 100
    masks = np.zeros(clip.frames.shape[:3], np.float32)
    masks[:, :10, :10] = 1
    frames = clip.frames.copy()
    for index, step in enumerate((0, 5, 9)):
        frames[index, :10, :10] += np.uint8(step)
    assert change(clip, Forgery(frames, masks)) == pytest.approx(5)
    assert change(clip, Forgery(frames, np.zeros_like(masks))) == 0


def test_attempts_are_repeated_until_one_changes_the_clip():
    clip = make_clip(frames=1)
    masks = np.ones(clip.frames.shape[:3], np.float32)
    copies = [Forgery(clip.frames.copy(), masks) for _ in range(3)]
    real_one = Forgery(255 - clip.frames, masks)
    attempts = iter([*copies, real_one])
    assert until_changed(clip, lambda: next(attempts)) is real_one
    assert next(attempts, None) is None


def test_an_edge_of_no_softness_is_hard():
    outline = ellipse_outline(pair(*[45, 40]), pair(*[20, 20]))
    mask = soft_mask(outline, 0.0, Edge(0.0, 0.02).cut, FULL)
    assert ((mask > 0) & (mask < 1)).mean() < 0.05
