"""What facial components look like, on made-up faces and a small random backbone."""

from pathlib import Path

import pytest
import torch

from mover_ray.errors import ConfigError
from mover_ray.models.fcg import COMPONENTS
from mover_ray.models.frozen_backbone import (
    BackboneConfig,
    FrozenBackbone,
    LayerFeatures,
    load_backbone,
)
from mover_ray.training.corpus import REAL, Corpus
from mover_ray.training.prototypes import PrototypeConfig, component_patches, mean_keys
from mover_ray.training.samples import Selection
from tests.models.samples import landmarks
from tests.training.made import Made, make_corpus, usual

CPU = torch.device("cpu")
#: Six patches a side: on fewer a mouth fills none.
PX = 96


@pytest.fixture(scope="module")
def backbone() -> FrozenBackbone:
    return load_backbone(BackboneConfig(architecture="vit_tiny_patch16_224", image_px=PX))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Six sources, four crops a video, at the size of the backbone."""
    return make_corpus(tmp_path_factory.mktemp("corpus"), usual(), PX)


def test_components_are_made_of_the_parts_of_the_face(backbone: FrozenBackbone) -> None:
    patches = component_patches(backbone, landmarks(PX, 2))

    assert patches.shape == (2, len(COMPONENTS), 36)
    assert patches.sum(dim=1).max() == 1  # no patch has two
    rows = torch.arange(36) // 6
    height = {
        name: rows[inside].float().mean()
        for name, inside in zip(COMPONENTS, patches[0], strict=True)
    }
    assert height["eyes"] < height["nose"] < height["lips"]


def test_a_prototype_is_the_mean_key_of_its_patches(
    backbone: FrozenBackbone, corpus: Corpus
) -> None:
    prototypes, faces = mean_keys(backbone, corpus, PrototypeConfig(faces=5, batch=2), CPU)
    assert (faces, prototypes.shape) == (5, (12, 4, 192))

    training = [
        crop
        for crop, record in enumerate(corpus.crops)
        if corpus.labels[record["video"]] == REAL
        and corpus.column("split")[record["video"]] == "train"
    ]
    chosen = [training[round(place)] for place in (0, 3, 7, 11, 15)]
    keys: list[torch.Tensor] = []

    def take(layer: LayerFeatures) -> None:
        if layer.index == 7:
            keys.append(layer.keys_BND)

    inside = []
    for crop in chosen:
        pixels = torch.from_numpy(corpus.pixels(crop).transpose(2, 0, 1).copy())
        backbone.read(pixels[None], take)
        points = torch.from_numpy(corpus.crops["landmarks"][crop].copy())
        inside.append(component_patches(backbone, points[None])[0, 2])
    expected = torch.cat([key[0][eyes] for key, eyes in zip(keys, inside, strict=True)]).mean(dim=0)
    torch.testing.assert_close(prototypes[7, 2], expected, rtol=1e-4, atol=1e-4)


def test_batches_change_nothing(backbone: FrozenBackbone, corpus: Corpus) -> None:
    first, _ = mean_keys(backbone, corpus, PrototypeConfig(faces=6, batch=1), CPU)
    second, _ = mean_keys(backbone, corpus, PrototypeConfig(faces=6, batch=4), CPU)

    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


def test_fakes_and_faces_of_another_size_are_refused(
    backbone: FrozenBackbone, corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="are not real"):
        mean_keys(backbone, corpus, PrototypeConfig(data=Selection()), CPU)
    small = make_corpus(tmp_path, [Made(name="a", crops=1)], size_px=48)
    with pytest.raises(ConfigError, match="crops of `48` px, not `96`"):
        mean_keys(backbone, small, PrototypeConfig(), CPU)
