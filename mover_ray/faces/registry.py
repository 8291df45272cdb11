"""Names of face detectors and landmarkers, and how each is built. Lazy: strings only."""

from collections.abc import Mapping
from typing import Any

from mover_ray.config import load_named
from mover_ray.errors import ConfigError
from mover_ray.faces.base import FaceDetector, Landmarker
from mover_ray.faces.policy import FacePolicy

#: Name -> "module:builder"; a builder takes the policy and a torch device.
DETECTORS = {
    "centerface": "mover_ray.faces.centerface:build",
    "dlib": "mover_ray.faces.dlib_hog:build",
    "retinaface": "mover_ray.faces.retinaface:build_resnet50",
    "retinaface-mobilenet": "mover_ray.faces.retinaface:build_mobilenet",
    "yunet": "mover_ray.faces.yunet:build",
}

#: Name -> "module:builder"; a builder takes the policy.
LANDMARKERS = {
    "dlib68": "mover_ray.faces.dlib68:build",
}


def build_detector(policy: FacePolicy, device: str = "cpu") -> FaceDetector:
    """Builds the policy's detector.

    Args:
        policy: Names the detector and, where it needs one, its weights file.
        device: Torch device of detectors that can use one.

    Raises:
        ConfigError: The name is unknown, or a package or the weights' path is missing.
        ArtifactError: The weights are missing, altered or of another network.
    """
    detector: FaceDetector = _builder("detector", policy.detector, DETECTORS)(policy, device)
    return detector


def build_landmarker(policy: FacePolicy) -> Landmarker:
    """Builds the policy's landmarker.

    Raises:
        ConfigError: The name is unknown.
        ArtifactError: Its weights are missing or altered.
    """
    landmarker: Landmarker = _builder("landmarker", policy.landmarker, LANDMARKERS)(policy)
    return landmarker


def _builder(kind: str, name: str, known: Mapping[str, str]) -> Any:
    if name not in known:
        listed = ", ".join(f"`{choice}`" for choice in sorted(known))
        raise ConfigError(f"unknown face {kind}: `{name}`", hint=f"choose one of {listed}")
    return load_named(known[name])
