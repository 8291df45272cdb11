import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mover_ray.errors import ArtifactError
from mover_ray.faces.policy import FacePolicy

pytest.importorskip("retinaface.network")

from mover_ray.faces.registry import build_detector
from mover_ray.faces.retinaface_mobilenet import MobileNetRetinaFace
from mover_ray.faces.torch_weights import load_into


def test_safetensors_and_legacy_weights_are_the_same_detector(weights_dir, tmp_path, portrait):
    legacy = weights_dir / "retinaface_mobilenet0.25.pth"
    converted = tmp_path / "weights.safetensors"
    save_file(dict(torch.load(legacy, map_location="cpu", weights_only=True)), converted)
    first, second = (
        build_detector(
            FacePolicy(detector="retinaface-mobilenet", detector_weights=str(path))
        ).detect([portrait])[0]
        for path in (legacy, converted)
    )
    assert np.array_equal(first.boxes, second.boxes)
    assert np.array_equal(first.scores, second.scores)


def test_resnet50_takes_the_package_s_own_tensors(tmp_path):
    """Random weights: the wiring is tested, not the faces."""
    from retinaface.network import RetinaFace as Network

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        network = Network(
            "Resnet50",
            pretrained=False,
            in_channels=256,
            return_layers={"layer2": 1, "layer3": 2, "layer4": 3},
            out_channels=256,
        )
    path = tmp_path / "resnet50.safetensors"
    save_file(network.state_dict(), path)
    detector = build_detector(FacePolicy(detector="retinaface", detector_weights=str(path)))
    found = detector.detect([np.zeros((70, 100, 3), np.uint8)] * 2)
    assert [faces.boxes.shape[1] for faces in found] == [4, 4]


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"body.weight": torch.zeros(3)}, path)
    with pytest.raises(ArtifactError, match="do not fit MobileNetRetinaFace") as caught:
        load_into(MobileNetRetinaFace(), path)
    assert "body.stage1" in str(caught.value)


def test_pickled_code_is_never_run(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"body": _Evil(tmp_path / "ran")}, path)
    with pytest.raises(ArtifactError):
        load_into(MobileNetRetinaFace(), path)
    assert not (tmp_path / "ran").exists()


class _Evil:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_batches_agree_with_the_cpu(weights_dir, portrait):
    path = str(weights_dir / "retinaface_mobilenet0.25.pth")
    policy = FacePolicy(detector="retinaface-mobilenet", detector_weights=path)
    images = [portrait, portrait[::-1], portrait[:300]] * 9
    on_cpu = build_detector(policy).detect(images)
    on_gpu = build_detector(policy, "cuda").detect(images)
    for first, second in zip(on_cpu, on_gpu, strict=True):
        assert second.boxes == pytest.approx(first.boxes, abs=0.5)
        assert second.scores == pytest.approx(first.scores, abs=1e-3)
