"""What every detector and landmarker of the registry must do."""

import dataclasses
import hashlib
import subprocess
import sys

import numpy as np
import pytest

from mover_ray.errors import ArtifactError, ConfigError
from mover_ray.faces.boxes import iou
from mover_ray.faces.dlib68 import HOG_SQUARES
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.registry import DETECTORS, LANDMARKERS, build_detector, build_landmarker

_WEIGHTS = {
    "yunet": "face_detection_yunet_2026may.onnx",
    "retinaface-mobilenet": "retinaface_mobilenet0.25.pth",
}
_BUILDABLE = ["centerface", "dlib", *_WEIGHTS]

# Read off the portrait by eye: hairline to chin, ear to ear; pupils and corners of the mouth.
_FACE = np.array([[182, 70, 268, 180]], np.float32)
_PUPILS = (203, 101), (247, 103)
_MOUTH = (204, 140), (244, 141)


@pytest.fixture(params=_BUILDABLE)
def policy(request) -> FacePolicy:
    if request.param not in _WEIGHTS:
        return FacePolicy(detector=request.param)
    path = request.getfixturevalue("weights_dir") / _WEIGHTS[request.param]
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return FacePolicy(detector=request.param, detector_weights=str(path), detector_sha256=sha256)


def test_the_face_of_the_portrait_is_found(policy, portrait):
    found = build_detector(policy).detect([portrait])[0]
    assert found.boxes.shape == (len(found), 4)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.scores[0] >= policy.eligible_score
    assert iou(found.boxes[:1], _FACE)[0, 0] > 0.5
    assert (found.scores[1:] < policy.eligible_score).all()


def test_no_face_gives_an_empty_answer(policy):
    found = build_detector(policy).detect([np.full((90, 130, 3), 120, np.uint8)])[0]
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)


def test_neighbours_change_nothing(policy, portrait):
    """Sizes may differ, odd and tiny ones too; each answer is that of the image alone."""
    images = [portrait, portrait[:, 100:353], portrait[:7, :5], portrait[::-1], portrait]
    detector = build_detector(policy)
    together = detector.detect(images)
    for image, found in zip(images, together, strict=True):
        alone = detector.detect([np.ascontiguousarray(image)])[0]
        assert np.array_equal(alone.boxes, found.boxes)
        assert np.array_equal(alone.scores, found.scores)
        assert (np.diff(found.scores) <= 0).all()
    assert detector.detect([]) == []


def test_a_shifted_face_has_a_shifted_box(policy, portrait):
    detector = build_detector(policy)
    shifted = np.zeros((600, 640, 3), np.uint8)
    shifted[64 : 64 + 512, 96 : 96 + 512] = portrait
    before, after = (detector.detect([image])[0].boxes[0] for image in (portrait, shifted))
    assert after - before == pytest.approx([96, 64, 96, 64], abs=10)


def test_min_score_is_on_the_common_scale(policy, portrait):
    best = float(build_detector(policy).detect([portrait])[0].scores[0])
    strict = dataclasses.replace(policy, min_score=(best + 1) / 2)
    assert len(build_detector(strict).detect([portrait])[0]) == 0


def test_landmarks_lie_on_the_face(policy, portrait):
    found = build_detector(policy).detect([portrait])[0]
    points = build_landmarker(policy).landmarks(portrait, found.boxes[:1])
    assert points.shape == (1, 68, 2)
    assert points.dtype == np.float32
    eyes = points[0, 36:42].mean(axis=0), points[0, 42:48].mean(axis=0)
    for found_point, known in zip(
        (*eyes, points[0, 48], points[0, 54]), (*_PUPILS, *_MOUTH), strict=True
    ):
        # A twentieth of the face's width.
        assert found_point == pytest.approx(known, abs=5)


def test_every_detector_has_a_box_shape():
    assert set(HOG_SQUARES) == set(DETECTORS)


def test_unknown_names_are_refused_with_the_list():
    with pytest.raises(ConfigError, match="unknown face detector: `haar`") as caught:
        build_detector(FacePolicy(detector="haar"))
    assert all(f"`{name}`" in (caught.value.hint or "") for name in DETECTORS)
    with pytest.raises(ConfigError, match="unknown face landmarker: `mesh`") as caught:
        build_landmarker(FacePolicy(landmarker="mesh"))
    assert all(f"`{name}`" in (caught.value.hint or "") for name in LANDMARKERS)


@pytest.mark.parametrize("name", ["retinaface", *_WEIGHTS])
def test_detectors_by_path_want_a_path_and_the_right_file(name, tmp_path):
    with pytest.raises(ConfigError, match="needs a weights file"):
        build_detector(FacePolicy(detector=name))
    wrong = tmp_path / "weights.onnx"
    wrong.write_bytes(b"no weights")
    with pytest.raises(ArtifactError) as caught:
        build_detector(FacePolicy(detector=name, detector_weights=str(wrong)))
    assert caught.value.exit_code == 3


def test_training_path_imports_neither_detectors_nor_torch():
    """Policy, parts, alignment and the registry's names need NumPy and OpenCV alone."""
    code = """
import sys
for name in ("dlib", "onnxruntime", "ray", "av", "torch", "torchvision", "retinaface", "boto3"):
    sys.modules[name] = None
import mover_ray.faces.policy, mover_ray.faces.parts, mover_ray.faces.alignment
import mover_ray.faces.registry, mover_ray.faces.extractor
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_retinaface_package_is_explained(weights_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "retinaface.box_utils", None)
    monkeypatch.delitem(sys.modules, "mover_ray.faces.retinaface", raising=False)
    with pytest.raises(ConfigError) as caught:
        build_detector(FacePolicy(detector="retinaface-mobilenet"))
    assert caught.value.hint == "pip install mover-ray[retinaface]"
