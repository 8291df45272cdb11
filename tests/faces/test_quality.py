import cv2
import numpy as np

from mover_ray.faces.quality import quality

_AS_IS = np.eye(2, 3, dtype=np.float32)


def test_blur_and_enlargement_lower_quality(portrait):
    face = np.ascontiguousarray(portrait[40:264, 110:334])
    sharp = quality(face, _AS_IS)
    blurred = quality(cv2.GaussianBlur(face, (0, 0), 3), _AS_IS)
    assert 0 < blurred < sharp / 2 < 1
    assert quality(face, _AS_IS * 4) == sharp / 4
    assert quality(face, _AS_IS / 4) == sharp


def test_a_flat_picture_shows_nothing():
    assert quality(np.full((64, 64, 3), 90, np.uint8), _AS_IS) == 0.0


def test_the_black_border_of_a_frame_is_no_detail(portrait):
    flat = np.full((224, 224, 3), 90, np.uint8)
    flat[:20] = 0
    assert quality(flat, _AS_IS) == 0.0
