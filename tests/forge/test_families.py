"""What every manipulation must keep, whatever it does: a sweep over the registry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.errors import ConfigError, InputError
from mover_ray.forge.base import Clip, ForgeError, Forgery
from mover_ray.forge.draws import LEAST_CHANGE, change
from mover_ray.forge.registry import MANIPULATIONS, build_manipulation
from mover_ray.status import Status
from tests.forge.samples import make_clip

SPATIAL = sorted(set(MANIPULATIONS) - {"temporal"})
PARTNERED = ("deepfakes", "face2face", "faceswap")


def check(clip: Clip, forgery: Forgery) -> None:
    """The contract between a clip and its forgery."""
    assert forgery.frames.shape == clip.frames.shape
    assert forgery.frames.dtype == np.uint8
    assert forgery.masks.dtype == np.float32
    assert np.isfinite(forgery.masks).all()
    assert forgery.masks.min() >= 0
    assert forgery.masks.max() <= 1
    untouched = forgery.masks == 0
    assert np.array_equal(forgery.frames[untouched], clip.frames[untouched])
    assert not np.array_equal(forgery.frames, clip.frames)


def forge(name: str, clip: Clip, partner: Clip | None, seed: int = 0) -> Forgery:
    return build_manipulation(name, {})(clip, partner, np.random.default_rng(seed))


def forge_or_refuse(name: str, clip: Clip, partner: Clip, seed: int = 0) -> Forgery | None:
    """None where the manipulation says that it would change too little."""
    try:
        return forge(name, clip, partner, seed)
    except ForgeError as error:
        if "changes too little" not in str(error):
            raise
        return None


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_the_name_is_the_registrys_and_the_need_of_a_partner_is_told(name):
    manipulation = build_manipulation(name, {})
    assert manipulation.name == name
    assert manipulation.needs_partner == (name in PARTNERED)


@pytest.mark.parametrize("name", MANIPULATIONS)
@settings(max_examples=4)
@given(
    seed=st.integers(0, 2**32 - 1),
    side=st.floats(40, 90),
    x=st.floats(40, 90),
    y=st.floats(40, 70),
)
def test_outside_the_mask_nothing_changes_and_inside_enough_does(name, seed, side, x, y):
    clip, partner = make_clip(1, side=side, centre=(x, y)), make_clip(2, frames=9)
    before = clip.frames.copy()
    forgery = forge_or_refuse(name, clip, partner, seed)
    if forgery is None:
        # Only motion may happen to be that of the target already.
        assert name == "face2face"
        return
    check(clip, forgery)
    assert np.array_equal(clip.frames, before)
    if name != "temporal":
        assert change(clip, forgery) >= LEAST_CHANGE
        assert all(mask.any() for mask in forgery.masks)
        assert forgery.masks.mean() < 0.9


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(name):
    clip, partner = make_clip(1, frames=9), make_clip(2, frames=9)
    first, again, other = (forge(name, clip, partner, seed) for seed in (5, 5, 6))
    assert first.frames.tobytes() == again.frames.tobytes()
    assert first.masks.tobytes() == again.masks.tobytes()
    assert first.frames.tobytes() != other.frames.tobytes()


@pytest.mark.parametrize("name", SPATIAL)
def test_one_frame_is_enough(name):
    clip = make_clip(1, frames=1)
    check(clip, forge(name, clip, make_clip(3, frames=1)))


@pytest.mark.parametrize("name", PARTNERED)
def test_a_partner_of_another_size_and_length_works(name):
    clip = make_clip(1, frames=5)
    for partner in (
        make_clip(2, frames=2, size=(60, 66), side=34, centre=(32, 30)),
        make_clip(2, frames=11, size=(300, 260), side=190, centre=(125, 140)),
    ):
        check(clip, forge(name, clip, partner))


@pytest.mark.parametrize("name", ["faceswap", "deepfakes"])
def test_the_partners_frame_size_does_not_decide_what_is_seen(name):
    clip, partner = make_clip(1), make_clip(2)
    padded = Clip(
        np.pad(partner.frames, ((0, 0), (0, 50), (0, 70), (0, 0)), mode="edge"), partner.landmarks
    )
    plain, wide = (forge(name, clip, giver) for giver in (partner, padded))
    difference = np.abs(plain.frames.astype(int) - wide.frames)
    assert difference.mean() < 0.05


@pytest.mark.parametrize("name", PARTNERED)
def test_a_missing_partner_is_named(name):
    with pytest.raises(ForgeError, match=f"`{name}` needs one"):
        forge(name, make_clip(), None)


@pytest.mark.parametrize("name", SPATIAL)
@pytest.mark.parametrize("centre", [(2, 58), (126, 58), (64, 1), (64, 110), (1, 1)])
def test_a_face_at_the_border_is_forged_or_refused(name, centre):
    clip = make_clip(1, frames=2, centre=centre, still=True)
    forgery = forge_or_refuse(name, clip, make_clip(2))
    if forgery is not None:
        check(clip, forgery)


@pytest.mark.parametrize("name", SPATIAL)
def test_a_tiny_face_is_forged_or_refused(name):
    clip = make_clip(1, side=17.0)
    forgery = forge_or_refuse(name, clip, make_clip(2))
    if forgery is not None:
        check(clip, forgery)


@pytest.mark.parametrize("name", sorted(set(MANIPULATIONS) - {"faceswap", "deepfakes"}))
def test_a_forgery_that_would_be_a_copy_is_refused(name):
    blank = make_clip(1, frames=8)
    blank = Clip(np.zeros_like(blank.frames), blank.landmarks)
    settings_ = (
        {"colour": {"brightness": 0.0, "contrast": 0.0}} if "colour" in _fields(name) else {}
    )
    with pytest.raises(ForgeError, match="changes too little") as caught:
        build_manipulation(name, settings_)(blank, blank, np.random.default_rng(0))
    assert isinstance(caught.value, InputError)
    assert caught.value.status == Status.UNSUPPORTED


def _fields(name: str) -> tuple[str, ...]:
    return tuple(type(build_manipulation(name, {}).config).__dataclass_fields__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_settings_are_checked(name):
    with pytest.raises(ConfigError, match="unknown setting"):
        build_manipulation(name, {"strengt": 1})
    span = {"temporal": "block_frames", "face2face": "strength"}.get(name, "softness")
    with pytest.raises(ConfigError, match=f"{span} is out of range"):
        build_manipulation(name, {span: [0.1, 0.05]})


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match="unknown manipulation: `faceswop`") as caught:
        build_manipulation("faceswop", {})
    assert caught.value.hint == "did you mean `faceswap`?"
    with pytest.raises(ConfigError) as caught:
        build_manipulation("zzz", {})
    assert "`deepfakes`" in str(caught.value.hint)


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_real_faces_are_forged(real_clips, name):
    clip, partner = real_clips
    forgery = forge(name, clip, partner)
    check(clip, forgery)
    if name != "temporal":
        low, high = clip.landmarks.min(axis=1), clip.landmarks.max(axis=1)
        for mask, start, end in zip(forgery.masks, low, high, strict=True):
            rows, columns = np.nonzero(mask > 0.5)
            centre = np.array([columns.mean(), rows.mean()])
            assert (centre > start).all()
            assert (centre < end).all()
