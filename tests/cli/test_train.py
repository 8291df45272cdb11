"""`mover-ray train` trains, says what it made, and what is wrong with what it was asked."""

import json

import pytest

from tests.pipelines.training_toys import write_corpus, write_presets


@pytest.fixture
def toys(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_presets(tmp_path)
    write_corpus(tmp_path / "crops")
    return tmp_path


def test_both_stages_end_in_a_bundle_that_models_accepts(mover_ray, toys):
    common = ["--corpus", "crops", "--set", "training.recipe.epochs=1"]
    first = mover_ray("train", "pretrain", "toy-pretrain.toml", "--out", "one", *common)
    assert first.code == 0, first.err
    assert "epoch 0" in first.err
    assert str(toys / "one" / "autoencoder.safetensors") in first.out
    command = ["train", "finetune", "toy-finetune.toml", "--out", "two", "--start", "one", *common]
    second = mover_ray(*command, "--json")
    assert second.code == 0, second.err
    document = json.loads(second.out)
    assert 0 <= document["metrics"]["val_auc"] <= 1
    shown = json.loads(mover_ray("models", "show", document["model"], "--json").out)
    assert shown["trained"] is True
    assert shown["training"]["command"].startswith("mover-ray train finetune toy-finetune.toml")


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["pretrain", "deepfakemae-tiny"], 2, "did you mean `deepfakemae-tiny-cpu`?"),
        (["pretrain", "mover-tiny-cpu"], 2, "`mover-ray train finetune mover-tiny-cpu`"),
        (["pretrain", "deepfakemae-tiny-cpu"], 2, "--corpus"),
        (["pretrain", "deepfakemae-tiny-cpu", "--workers", "x"], 2, "`2:8`"),
        (
            ["pretrain", "deepfakemae-tiny-cpu", "--set", "training.recipe.epoch=1"],
            2,
            "did you mean `training.recipe.epochs`?",
        ),
        (["pretrain", "deepfakemae-tiny-cpu", "--corpus", "nothing"], 5, "mover-ray extract"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(mover_ray, toys, arguments, code, hint):
    ended = mover_ray("train", *arguments, "--out", "out")
    assert ended.code == code
    assert hint in ended.hint
    assert "Traceback" not in ended.err


def test_presets_are_listed_and_shown_whole(mover_ray):
    listed = json.loads(mover_ray("train", "presets", "--json").out)
    assert {"mover-ffpp", "delocate-tiny-cpu"} <= set(listed)
    assert "mover-ffpp" in mover_ray("train", "presets").out
    shown = mover_ray("train", "presets", "mover-ffpp").out
    assert "# hardware" in shown
    assert "[training.meta]" in shown
    assert json.loads(mover_ray("train", "presets", "mover-ffpp", "--json").out)["detector"]


def test_a_settings_file_speaks_to_train_in_its_own_section(mover_ray, toys):
    (toys / "mover-ray.toml").write_text(
        '[score.scoring]\nmasks = "none"\n[train.training.recipe]\nepochs = 0\n'
    )
    ended = mover_ray("train", "pretrain", "toy-pretrain.toml", "--corpus", "crops", "--out", "out")
    assert (ended.code, "epochs is too small" in ended.error) == (2, True)
