"""A small archive of real encoded video and a small model, for whole runs in tests."""

from pathlib import Path

from mover_ray.faces.policy import FacePolicy
from mover_ray.models import bundle as bundles
from mover_ray.models.bundle_card import ModelCard, Training
from mover_ray.models.calibration import Calibration
from mover_ray.models.registry import build_detector
from mover_ray.operations.demo_clips import Clip, write_clip
from mover_ray.video.sampling import SamplingPolicy

#: A crop of 64 px costs a hundredth of the time of one of 224 px.
SIZE_PX = 64
FRAMES = 6


def make_archive(folder: Path, faces: int, seconds: float = 0.5) -> Path:
    """Writes `faces` clips of a face, one without and one that is broken."""
    folder.mkdir(parents=True)
    for number in range(faces):
        clip = Clip(name=f"face{number:02d}.mp4", label="real", seconds=seconds)
        write_clip(clip, folder, seed=number)
    write_clip(
        Clip(name="rocket.mp4", label=None, seconds=seconds, centre=(422.0, 130.0), width_px=100.0),
        folder,
        seed=0,
    )
    write_clip(Clip(name="broken.mp4", label=None, seconds=seconds, truncated=True), folder, seed=0)
    return folder


def make_model(folder: Path, seed: int = 0) -> bundles.Bundle:
    """Writes an untrained Mover that is as small as it can be."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        detector = build_detector("mover", {"mae": {"image_px": SIZE_PX}, "parts_at_once": 7})
    card = ModelCard(
        model_id=f"small-{seed}",
        trained=False,
        licence="Apache-2.0",
        detector_name="mover",
        faces=FacePolicy(size_px=SIZE_PX),
        sampling=SamplingPolicy(frames=FRAMES),
        calibration=Calibration(),
        thresholds=(),
        training=Training(code_version="test", seed=seed),
    )
    return bundles.save(folder, card, detector)
