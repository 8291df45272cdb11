import numpy as np
import pytest

from mover_ray.faces.watch import PictureWatch

_SIZES = [(480, 854), (1080, 1920), (96, 96), (1364, 720)]


def _gray(size, level=100) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def _seen(image) -> PictureWatch:
    watch = PictureWatch()
    watch.look(image)
    watch.searched()
    return watch


@pytest.mark.parametrize("size", _SIZES)
def test_first_frame_and_a_cut_are_another_picture(size):
    watch = PictureWatch()
    assert watch.look(_gray(size))
    watch.searched()
    assert not watch.look(_gray(size))
    assert watch.newest() is None
    assert watch.look(_gray(size, 140))


def test_another_size_is_another_picture():
    watch = _seen(_gray((480, 640)))
    assert watch.look(_gray((480, 854)))


def test_noise_of_compression_is_nothing_new():
    watch = _seen(_gray((480, 640)))
    noise = np.random.default_rng(0).integers(-12, 13, (480, 640, 3))
    assert not watch.look((_gray((480, 640)) + noise).astype(np.uint8))
    assert watch.newest() is None


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("place", [(0.1, 0.2), (0.9, 0.95), (0.5, 0.5)])
def test_something_of_40_pixels_is_noticed_where_it_is(size, place):
    """The least face that is scored, anywhere in frames of any size."""
    watch = _seen(_gray(size))
    image = _gray(size)
    top, left = (int(part * (side - 40)) for part, side in zip(place, size, strict=True))
    image[top : top + 40, left : left + 40] = 180
    assert not watch.look(image)
    found = watch.newest()
    assert found is not None
    # Blur, growth and room add up to four points of the small picture, rounding to one more.
    reach = 5 * -(-max(size) // 128)
    low, high = found[:2], found[2:]
    assert (low <= [left, top]).all()
    assert (high >= [left + 40, top + 40]).all()
    assert (low >= np.array([left, top]) - reach).all()
    assert (high <= np.array([left + 40, top + 40]) + reach).all()


def test_places_are_told_by_their_amount_until_they_were_searched():
    watch = _seen(_gray((480, 640)))
    image = _gray((480, 640))
    image[50:150, 50:150] = 200
    image[300:460, 400:560] = 200
    watch.look(image)
    first = watch.newest()
    assert first is not None
    assert first[0] > 350
    watch.searched(first[None])
    second = watch.newest()
    assert second is not None
    assert second[2] < 200
    watch.searched(np.array([[-40, -40, 300, 300]], np.float32))
    assert watch.newest() is None
