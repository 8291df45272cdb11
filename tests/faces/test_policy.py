import pytest

from mover_ray.config import from_mapping, to_mapping
from mover_ray.errors import ConfigError
from mover_ray.faces.policy import FacePolicy


def test_a_policy_survives_its_bundle():
    policy = FacePolicy(search_every=1, detection_face_px=20, margin=1.5)
    assert from_mapping(FacePolicy, to_mapping(policy)) == policy


def test_a_policy_without_the_later_fields_keeps_what_it_says():
    """Bundles made before the search skipped frames name a size and nothing else of it."""
    policy = from_mapping(FacePolicy, {"detection_size_px": 480})
    assert (policy.detection_size_px, policy.search_every) == (480, FacePolicy().search_every)


@pytest.mark.parametrize(
    "wrong",
    [
        {"search_every": 0},
        {"detection_face_px": 7},
        {"detection_face_px": 513},
        {"detection_size_px": 63},
        {"eligible_face_px": 0},
        {"max_faces": 0},
        {"margin": 0.9},
        {"track_iou": 1.1},
        {"alignment": "none"},
    ],
)
def test_wrong_fields_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        FacePolicy(**wrong)
