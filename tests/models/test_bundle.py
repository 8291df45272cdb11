import dataclasses
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mover_ray.errors import ArtifactError, ConfigError, LocationError
from mover_ray.faces.policy import FacePolicy
from mover_ray.models import bundle as bundles
from mover_ray.models.bundle import Bundle
from mover_ray.models.bundle_folder import CARD_NAME, WEIGHTS_NAME
from mover_ray.models.calibration import Calibration, Threshold
from mover_ray.provenance import sha256_file

SMALL = {"mae": {"image_px": 32}, "branches": ["finetuning"]}

Alter = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.init(tmp_path_factory.mktemp("models") / "pristine", "mover", SMALL)


@pytest.fixture
def folder(pristine: Bundle, tmp_path: Path) -> Path:
    copy = tmp_path / "bundle"
    copy.mkdir()
    for file in pristine.path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def alter_card(folder: Path, alter: Alter) -> None:
    card = json.loads((folder / CARD_NAME).read_text())
    alter(card)
    (folder / CARD_NAME).write_text(json.dumps(card))


def adopt_weights(folder: Path) -> None:
    """Makes the card agree with whatever the weights file has become."""
    path = folder / WEIGHTS_NAME
    found = {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
    alter_card(folder, lambda card: card["weights"].update(found))


def refuse(path: str | Path) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        bundles.verify(path)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return caught.value


class TestInit:
    def test_is_marked_untrained(self, pristine: Bundle) -> None:
        assert pristine.trained is False
        assert pristine.model_id == "mover-untrained-0"
        assert pristine.training.seed == 0
        assert pristine.calibration == Calibration()
        assert pristine.thresholds == ()
        assert pristine.faces == FacePolicy(size_px=32)

    def test_is_read_back_as_it_was_made(self, pristine: Bundle) -> None:
        assert bundles.load(pristine.path) == pristine
        assert bundles.verify(str(pristine.path)) == pristine

    def test_carries_every_setting_of_the_detector(self, pristine: Bundle) -> None:
        assert pristine.detector_config["mae"] == {
            "size": "tiny", "depth": None, "image_px": 32, "patch_px": 16,
            "positions": "sincos", "layer_scale": False,
        }  # fmt: skip
        assert pristine.detector_config["mask_ratio"] == 0.5

    def test_a_seed_gives_the_same_model(self, pristine: Bundle, tmp_path: Path) -> None:
        same = bundles.init(tmp_path / "same", "mover", SMALL, seed=0)
        other = bundles.init(tmp_path / "other", "mover", SMALL, seed=1)

        assert same.model_sha256 == pristine.model_sha256
        assert other.weights.sha256 != pristine.weights.sha256

    def test_neither_making_nor_loading_draws_from_the_global_generator(
        self, pristine: Bundle, tmp_path: Path
    ) -> None:
        before = torch.random.get_rng_state()

        bundles.init(tmp_path / "new", "mover", SMALL, seed=5).detector()
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_half_precision_halves_the_file(self, pristine: Bundle, tmp_path: Path) -> None:
        half = bundles.init(tmp_path / "half", "mover", SMALL, storage="float16")

        assert half.weights.size_bytes < 0.52 * pristine.weights.size_bytes
        assert {p.dtype for p in half.detector().parameters()} == {torch.float32}

    def test_an_unknown_detector_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="unknown detector"):
            bundles.init(tmp_path / "bundle", "remover")
        assert list(tmp_path.iterdir()) == []


class TestSave:
    def test_never_overwrites(self, folder: Path) -> None:
        before = (folder / CARD_NAME).read_bytes()

        with pytest.raises(LocationError, match="exists"):
            bundles.init(folder, "mover", SMALL)
        assert (folder / CARD_NAME).read_bytes() == before

    def test_a_weight_that_is_not_finite_is_not_written(
        self, pristine: Bundle, tmp_path: Path
    ) -> None:
        detector = pristine.detector()
        next(detector.parameters()).data[0] = 1e6  # beyond float16

        with pytest.raises(ArtifactError, match="not finite"):
            bundles.save(tmp_path / "new", pristine, detector, storage="float16")
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_cannot_be_made_is_a_location_error(
        self, pristine: Bundle, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(LocationError, match="cannot be written"):
            bundles.save(tmp_path / "file" / "new", pristine, pristine.detector())

    def test_a_changed_calibration_is_another_model(self, pristine: Bundle, tmp_path: Path) -> None:
        thresholds = (Threshold(false_positive_rate=0.01, real_videos=400, score=0.9),)
        card = dataclasses.replace(
            pristine, calibration=Calibration(bias=-1.0), thresholds=thresholds
        )

        saved = bundles.save(tmp_path / "new", card, pristine.detector())
        assert (saved.calibration, saved.thresholds) == (Calibration(bias=-1.0), thresholds)
        assert saved.weights == pristine.weights
        assert saved.model_sha256 != pristine.model_sha256

    def test_crops_must_fit_the_detector(self, pristine: Bundle, tmp_path: Path) -> None:
        card = dataclasses.replace(pristine, faces=FacePolicy(size_px=224))

        with pytest.raises(ArtifactError, match=r"crops `224` px, the detector needs `32` px"):
            bundles.save(tmp_path / "new", card, pristine.detector())


class TestNoBundle:
    def test_a_missing_path(self, tmp_path: Path) -> None:
        error = refuse(tmp_path / "none")

        assert "no such bundle" in str(error)
        assert "models init" in str(error.hint)

    def test_a_remote_address(self) -> None:
        assert "local folder" in str(refuse("s3://models/mover"))

    def test_a_folder_of_other_things(self, tmp_path: Path) -> None:
        assert "there is no bundle.json" in str(refuse(tmp_path))

    def test_the_weights_alone(self, folder: Path) -> None:
        assert "is a folder" in str(refuse(folder / WEIGHTS_NAME))

    @pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".PKL"])
    def test_a_pickle_is_refused_by_type(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"model{suffix}"
        path.write_bytes(pickle.dumps(Canary(tmp_path / "canary")))

        for refused in (path, tmp_path):
            assert "model.safetensors" in str(refuse(refused).hint)
        assert not (tmp_path / "canary").exists()

    def test_a_pickle_under_a_false_name(self, folder: Path, tmp_path: Path) -> None:
        torch.save({"canary": Canary(tmp_path / "canary")}, folder / WEIGHTS_NAME)
        adopt_weights(folder)

        assert "no safetensors file" in str(refuse(folder))
        assert not (tmp_path / "canary").exists()


class TestCard:
    @pytest.mark.parametrize(
        ("alter", "named"),
        [
            (lambda card: card.update(colour="red"), "has the unknown key `colour`"),
            (lambda card: card.pop("faces"), "lacks `faces`"),
            (lambda card: card["faces"].update(marjin=2.0), "unknown setting: `faces.marjin`"),
            (lambda card: card["faces"].update(margin="wide"), "`faces.margin` has the wrong type"),
            (lambda card: card["faces"].update(margin=9.0), "margin is out of range"),
            (lambda card: card["faces"].update(size_px=64), "crops `64` px"),
            (lambda card: card["sampling"].update(frames=0), "frames is too small"),
            (lambda card: card.update(format_version=2), "unknown format_version"),
            (lambda card: card.update(trained="no"), "`trained` has the wrong type"),
            (lambda card: card.update(model_id="../x"), "model_id is not acceptable"),
            (lambda card: card.update(detector_name="x"), "unknown detector: `x`"),
            (lambda card: card.update(detector_config=[]), "must be tables"),
            (lambda card: card["detector_config"].update(x=1), "unknown setting: `x`"),
            (lambda card: card["detector_config"]["mae"].update(size="xl"), "unknown size"),
            (lambda card: card["weights"].update(sha256="0" * 63), "no SHA-256"),
            (lambda card: card["weights"].pop("storage"), "storage"),
            (lambda card: card["calibration"].update(temperature=0), "temperature"),
            (lambda card: card.update(thresholds=[{"score": 0.5}]), "false_positive_rate"),
        ],
    )
    def test_what_is_wrong_is_named(self, folder: Path, alter: Alter, named: str) -> None:
        alter_card(folder, alter)

        assert named in str(refuse(folder))

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"[]",
            b"{",
            b"\xff\xfe",
            b'{"format_version": NaN}',
            b'"\\ud800"',
            b"[" * 200_000,
            b" " * (2**20 + 1),
        ],
        ids=["empty", "list", "cut", "binary", "nan", "surrogate", "deep", "long"],
    )
    def test_what_is_no_card(self, folder: Path, text: bytes) -> None:
        (folder / CARD_NAME).write_bytes(text)

        assert "bundle.json" in str(refuse(folder))

    def test_order_and_spacing_do_not_matter(self, folder: Path, pristine: Bundle) -> None:
        card = json.loads((folder / CARD_NAME).read_text())
        reordered = dict(reversed(card.items()))
        (folder / CARD_NAME).write_text(json.dumps(reordered, indent=7))

        assert bundles.load(folder).model_sha256 == pristine.model_sha256


class TestWeights:
    def test_missing(self, folder: Path) -> None:
        (folder / WEIGHTS_NAME).unlink()

        assert "no weights" in str(refuse(folder))

    def test_cut(self, folder: Path) -> None:
        path = folder / WEIGHTS_NAME
        path.write_bytes(path.read_bytes()[:-1])

        assert "bytes instead of" in str(refuse(folder))

    @pytest.mark.parametrize("at", [100, -1])
    def test_one_flipped_bit(self, folder: Path, at: int) -> None:
        path = folder / WEIGHTS_NAME
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)

        with pytest.raises(ArtifactError, match="not those that the bundle was made with"):
            bundles.load(folder)

    def test_altered_after_loading(self, folder: Path) -> None:
        bundle = bundles.load(folder)
        path = folder / WEIGHTS_NAME
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")

        with pytest.raises(ArtifactError, match="not those"):
            bundle.detector()

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_not_finite(self, folder: Path, value: float) -> None:
        self.rewrite(folder, lambda tensors: tensors["finetuning.head.bias"].fill_(value))

        error = refuse(folder)
        assert "not finite, in `finetuning.head.bias`" in str(error)

    @pytest.mark.parametrize(
        ("alter", "named"),
        [
            (lambda tensors: tensors.pop("finetuning.head.bias"), "lack `finetuning.head.bias`"),
            (lambda tensors: tensors.update(extra=torch.zeros(1)), "have the unknown `extra`"),
            (
                lambda tensors: tensors.update({"finetuning.head.bias": torch.zeros(3)}),
                "`finetuning.head.bias` has the shape [3], not [2]",
            ),
            (
                lambda tensors: tensors.update({"finetuning.head.bias": torch.zeros(2).int()}),
                "`finetuning.head.bias` has the type I32",
            ),
        ],
    )
    def test_of_another_detector(
        self, folder: Path, alter: Callable[[dict[str, torch.Tensor]], object], named: str
    ) -> None:
        self.rewrite(folder, alter)

        assert named in str(refuse(folder))

    @pytest.mark.parametrize("header_bytes", [0, 1, 2**20, 2**21, 2**40, 2**64 - 1])
    def test_a_header_bomb(self, folder: Path, header_bytes: int) -> None:
        path = folder / WEIGHTS_NAME
        path.write_bytes(struct.pack("<Q", header_bytes) + path.read_bytes()[8:])
        adopt_weights(folder)

        assert "no safetensors file" in str(refuse(folder))

    @pytest.mark.parametrize("shape", [[2**40], [2**63, 2**63], [-1]])
    def test_an_absurd_shape(self, folder: Path, shape: list[int]) -> None:
        entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}
        header = json.dumps({"finetuning.head.bias": entry}).encode()
        content = struct.pack("<Q", len(header)) + header + bytes(8)
        (folder / WEIGHTS_NAME).write_bytes(content)
        adopt_weights(folder)

        assert "no safetensors file" in str(refuse(folder))

    @staticmethod
    def rewrite(folder: Path, alter: Callable[[dict[str, torch.Tensor]], object]) -> None:
        tensors = load_file(folder / WEIGHTS_NAME)
        alter(tensors)
        save_file(tensors, folder / WEIGHTS_NAME)
        adopt_weights(folder)


class Canary:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return open, (str(self.path), "w")  # type: ignore[return-value]
