import json
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import load_file

from mover_ray.errors import ConfigError
from mover_ray.models.layers.pixels import normalize
from mover_ray.models.mae import MAEConfig, MaskedAutoencoder
from mover_ray.models.part_masking import MaskingConfig
from mover_ray.training.corpus import Corpus
from mover_ray.training.optim import OptimConfig
from mover_ray.training.pictures import to_unit
from mover_ray.training.pretrain import PretrainConfig, hidden_patches, pretrain
from mover_ray.training.recipe import Habits, Recipe
from mover_ray.training.samples import Selection
from mover_ray.training.world import Alone, Runtime
from tests.models.samples import faces, landmarks
from tests.training.made import SIZE_PX

CONFIG = PretrainConfig(
    masking=MaskingConfig(partition="bands"),
    optim=OptimConfig(lr=1e-3),
    recipe=Recipe(epochs=2, batch_size=8),
    habits=Habits(log_steps=1, threads=2),
)


def autoencoder() -> MaskedAutoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MaskedAutoencoder(MAEConfig(image_px=SIZE_PX))


def test_pretraining_lowers_the_error_and_shows_what_it_restores(
    corpus: Corpus, tmp_path: Path
) -> None:
    runtime = Runtime(world=Alone(), folder=tmp_path)
    best = pretrain(autoencoder(), corpus, CONFIG, runtime)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    errors = [line["val_mse"] for line in lines if line["kind"] == "epoch"]

    assert errors[1] < errors[0]
    autoencoder().load_state_dict(load_file(best / "model.safetensors"))
    for epoch in range(2):
        sheet = cv2.imread(str(tmp_path / "pictures" / f"epoch-{epoch:04d}.png"))
        # Eight faces below each other; given, masked and restored side by side.
        assert sheet is not None
        assert sheet.shape == (8 * SIZE_PX + 7 * 4, 3 * SIZE_PX + 2 * 4, 3)


def test_fakes_are_refused_before_anything_starts(corpus: Corpus, tmp_path: Path) -> None:
    config = PretrainConfig(data=Selection(labels=("real", "fake")))

    with pytest.raises(ConfigError, match="8 selected videos are not real"):
        pretrain(autoencoder(), corpus, config, Runtime(world=Alone(), folder=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_what_is_hidden_is_a_function_of_the_seed() -> None:
    points, model = landmarks(SIZE_PX, 1)[0], autoencoder()
    drawn = [hidden_patches(model, CONFIG.masking, points, seed) for seed in (1, 1, 2, 3, 4)]

    assert torch.equal(drawn[0], drawn[1])
    assert any(not torch.equal(drawn[0], other) for other in drawn[2:])
    assert all(0 < hidden.sum() < len(hidden) for hidden in drawn)


def test_normalized_pictures_come_back() -> None:
    pictures = faces(SIZE_PX, 2)

    torch.testing.assert_close(to_unit(normalize(pictures)) * 255, pictures.float())
