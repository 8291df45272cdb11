"""From prototypes over a trained FCG to its bundle, in seconds."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mover_ray.errors import ArtifactError, ConfigError, LocationError
from mover_ray.models import bundle as bundles
from mover_ray.models.fcg import Fcg
from mover_ray.models.frozen_backbone import BackboneConfig, load_backbone
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.train import TrainOptions, train
from mover_ray.pipelines.train_prototypes import build_prototypes
from mover_ray.pipelines.train_start import start_detector
from tests.training.made import usual, write_extract

PX = 96
PRESET = """# Tells fakes.
stage = "finetune"
detector = "{detector}"
[model]
segment_frames = 2
[model.backbone]
architecture = "vit_tiny_patch16_224"
image_px = 96
[sampling]
policy = "clips"
clip_frames = 2
[training.optim]
warmup = 0.0  # the one step is a whole one
[training.recipe]
epochs = 1
batch_size = 4
[training.habits]
threads = 1
"""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds presets, a corpus, a backbone as a file and the prototypes of both."""
    folder = tmp_path_factory.mktemp("fcg")
    for detector in ("fcg", "ln-clip"):
        (folder / f"{detector}.toml").write_text(PRESET.format(detector=detector))
    write_extract(folder / "crops", usual(sources=3, methods=["one"], crops=2), PX)
    backbone = load_backbone(BackboneConfig(architecture="vit_tiny_patch16_224", image_px=PX))
    save_file(dict(backbone.vit.state_dict()), folder / "vit.safetensors")
    build_prototypes(options(folder, "components"), Quiet())
    return folder


def options(folder: Path, dest: str, detector: str = "fcg", **changes: Any) -> TrainOptions:
    backbone = {"weights": str(folder / "vit.safetensors")}
    return TrainOptions(
        preset=str(folder / f"{detector}.toml"),
        corpus=(str(folder / "crops"),),
        dest=str(folder / dest),
        settings={"cache_dir": str(folder / "cache"), "model": {"backbone": backbone}},
        **changes,
    )


def test_a_trained_detector_is_a_small_bundle_that_names_its_backbone(folder):
    train("finetune", options(folder, "out", start=str(folder / "components")), Quiet())

    bundle = bundles.verify(folder / "out" / "bundle")
    named = bundle.detector_config["backbone"]
    assert named["weights"] == str(folder / "vit.safetensors")
    assert len(named["sha256"]) == 64
    assert bundle.sampling.policy == "clips"
    detector = bundle.detector()
    assert isinstance(detector, Fcg)
    assert bundle.weights.size_bytes < (folder / "vit.safetensors").stat().st_size / 50
    prototypes = load_file(folder / "components" / "prototypes.safetensors")["prototypes_LPD"]
    assert torch.equal(detector.get_buffer("prototypes_LPD"), prototypes)
    moved = (detector.spatial[0].get_parameter("queries_PD") - prototypes[0]).abs().max()
    assert 0 < moved < 0.1
    card = json.loads((folder / "components" / "prototypes.json").read_text())
    assert card["sha256"] in (bundle.training.notes or "")


def test_a_bundle_with_another_backbone_does_not_score(folder):
    train("finetune", options(folder, "tuned", detector="ln-clip"), Quiet())
    bundle = bundles.load(folder / "tuned" / "bundle")
    other = {**bundle.detector_config["backbone"], "sha256": "0" * 64}

    settings = {**bundle.detector_config, "backbone": other}
    with pytest.raises(ArtifactError, match="not the one that the detector was trained on"):
        bundles.init(folder / "wrong", "ln-clip", settings)


def test_the_guidance_needs_prototypes(folder):
    detector = build(folder)
    with pytest.raises(ConfigError, match="needs prototypes") as caught:
        start_detector(detector, {}, None, {"size_px": PX})
    assert "train prototypes" in str(caught.value.hint)
    assert start_detector(build(folder, guidance_weight=0.0), {}, None, {"size_px": PX}) is None


def test_prototypes_of_other_faces_or_backbones_are_refused(folder):
    start = str(folder / "components")
    with pytest.raises(ConfigError, match="faces were cropped in another way"):
        start_detector(build(folder), {}, start, {"size_px": 64})
    random = build(folder)
    random.backbone = load_backbone(
        random.config.backbone.__class__(architecture="vit_tiny_patch16_224", image_px=PX)
    )
    with pytest.raises(ConfigError, match="the backbone is another one"):
        start_detector(random, {}, start, {"size_px": PX})
    with pytest.raises(ArtifactError, match="no finished `train prototypes`"):
        start_detector(build(folder), {}, str(folder / "nowhere"), {"size_px": PX})


def test_prototypes_are_never_overwritten_and_belong_to_fcg(folder):
    with pytest.raises(LocationError, match="holds prototypes"):
        build_prototypes(options(folder, "components"), Quiet())
    with pytest.raises(ConfigError, match="without facial components: `ln-clip`"):
        build_prototypes(options(folder, "others", detector="ln-clip"), Quiet())


def build(folder: Path, **changes: Any) -> Fcg:
    from mover_ray.models.fcg import build

    backbone = {
        "architecture": "vit_tiny_patch16_224",
        "image_px": PX,
        "weights": str(folder / "vit.safetensors"),
    }
    return build({"backbone": backbone, "segment_frames": 2, **changes})
