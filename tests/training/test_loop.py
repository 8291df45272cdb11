import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mover_ray.errors import ArtifactError, ConfigError, DivergedError, InputError
from mover_ray.status import Status
from mover_ray.training.checkpoint import Checkpoints
from mover_ray.training.corpus import Corpus, Floats, Pixels
from mover_ray.training.finetune import Changes, FinetuneConfig, finetune
from mover_ray.training.meta import MetaConfig
from mover_ray.training.optim import OptimConfig
from mover_ray.training.recipe import Habits, Recipe
from mover_ray.training.samples import Selection
from mover_ray.training.world import Alone, Runtime
from tests.training.made import Made, make_corpus, usual
from tests.training.toys import CONFIG, ROOT, Forged, Toy, run_toy, toy


def lines_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def timeless(folder: Path) -> list[dict[str, Any]]:
    """Gives every metric but the speed."""
    lines = lines_of(folder, "step") + lines_of(folder, "epoch")
    return [{k: v for k, v in line.items() if k != "units_per_s"} for line in lines]


def with_recipe(**changes: Any) -> FinetuneConfig:
    return dataclasses.replace(CONFIG, recipe=dataclasses.replace(CONFIG.recipe, **changes))


def kill_after(steps: int, command: list[str], folder: Path) -> None:
    """Starts a training and kills it once its metrics say that so many steps are done."""
    process = subprocess.Popen(command, cwd=ROOT)
    deadline = time.monotonic() + 240
    metrics = folder / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count('"kind": "step"') < steps:
        assert process.poll() is None, "the training ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_killed_training_ends_as_if_it_had_not_been(corpus: Corpus, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    made = make_corpus(tmp_path, usual())
    command = [sys.executable, "-m", "tests.training.toys", str(tmp_path / "corpus")]
    kill_after(5, [*command, str(killed), "0.1"], killed)
    done = len(lines_of(killed, "step"))
    assert not lines_of(killed, "epoch")

    ends = [run_toy(made, folder, dropout=0.2) for folder in (killed, whole)]

    assert 5 <= done < 8
    assert timeless(killed) == timeless(whole)
    assert ends[0].name == ends[1].name
    for file in ("model", "ema", "optimizer"):
        one, other = (load_file(end / f"{file}.safetensors") for end in ends)
        assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_finished_training_is_left_as_it_is(corpus: Corpus, tmp_path: Path) -> None:
    config = with_recipe(epochs=1)
    first = run_toy(corpus, tmp_path, config)
    before = timeless(tmp_path)

    assert run_toy(corpus, tmp_path, config) == first
    assert timeless(tmp_path) == before


def test_a_handful_of_pairs_is_learned_by_heart(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, usual(3, crops=1))
    config = dataclasses.replace(
        with_recipe(epochs=60, ema_decay=0.0), optim=OptimConfig(lr=0.05, warmup=0.0)
    )
    run_toy(corpus, tmp_path / "out", config)
    course = [line["cls"] for line in lines_of(tmp_path / "out", "epoch")]

    assert course[0] > 0.4
    assert course[-1] < 0.02


def test_micro_batches_do_not_change_what_is_learned(corpus: Corpus, tmp_path: Path) -> None:
    weights = []
    for micro_batch in (1, 4):
        habits = dataclasses.replace(CONFIG.habits, micro_batch=micro_batch)
        config = dataclasses.replace(with_recipe(epochs=1), habits=habits)
        best = run_toy(corpus, tmp_path / f"{micro_batch}", config)
        weights.append(load_file(best / "model.safetensors"))

    torch.testing.assert_close(*weights, atol=1e-5, rtol=1e-4)


def test_bfloat16_learns_nearly_the_same(corpus: Corpus, tmp_path: Path) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        run_toy(corpus, tmp_path / precision, with_recipe(precision=precision, epochs=1))
        losses.append([line["cls"] for line in lines_of(tmp_path / precision, "step")])

    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_patience_ends_a_training_that_no_longer_gets_better(
    corpus: Corpus, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        with_recipe(epochs=9, patience=2), optim=OptimConfig(lr=0.0, warmup=0.0)
    )
    best = run_toy(corpus, tmp_path, config)

    assert len(lines_of(tmp_path, "epoch")) == 3
    assert best.name == "000000008"
    assert run_toy(corpus, tmp_path, config) == best


def test_the_report_comes_once_an_epoch_with_its_checkpoint(corpus: Corpus, tmp_path: Path) -> None:
    reports: list[tuple[float, bool]] = []

    def take(metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        reports.append((metrics["epoch"], checkpoint is not None and checkpoint.is_dir()))

    runtime = Runtime(world=Alone(), folder=tmp_path, report=take)
    finetune(toy(), corpus, with_recipe(epochs=2), runtime)

    assert reports == [(0, True), (1, True)]


def test_a_loss_that_is_no_number_stops_before_it_does_harm(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, calls = Toy.losses, []

    def poisoned(self: Toy, batch: Any) -> dict[str, torch.Tensor]:
        calls.append(1)
        terms = honest(self, batch)
        return {
            name: value * (torch.nan if len(calls) == 9 else 1) for name, value in terms.items()
        }

    monkeypatch.setattr(Toy, "losses", poisoned)
    with pytest.raises(DivergedError) as caught:
        run_toy(corpus, tmp_path)

    message = str(caught.value)
    assert "the loss `cls` is not finite in step 4 of epoch 0" in message
    # Four pairs, each a real and a fake segment, by video, track and frame.
    assert message.count(":0:") == 8
    assert "000000004" in str(caught.value.hint)
    newest = Checkpoints(tmp_path / "checkpoints", {}).newest()
    assert newest is not None
    assert all(value.isfinite().all() for value in load_file(newest / "model.safetensors").values())


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (with_recipe(batch_size=8), "`recipe.batch_size` was 4, is 8"),
        (
            dataclasses.replace(CONFIG, optim=OptimConfig(lr=0.5)),
            "`finetune.optim.lr` was 0.01, is 0.5",
        ),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused(
    corpus: Corpus, tmp_path: Path, changed: FinetuneConfig, named: str
) -> None:
    run_toy(corpus, tmp_path, with_recipe(epochs=1))

    with pytest.raises(ArtifactError, match="another configuration") as caught:
        run_toy(corpus, tmp_path, changed)
    assert named in str(caught.value)


def test_habits_may_change_on_the_way(corpus: Corpus, tmp_path: Path) -> None:
    run_toy(corpus, tmp_path, with_recipe(epochs=1))
    habits = Habits(checkpoint_steps=0, threads=1, log_steps=3)

    run_toy(corpus, tmp_path, dataclasses.replace(with_recipe(epochs=1), habits=habits))


def only_real(folder: Path) -> Corpus:
    return make_corpus(folder, [Made(name="a"), Made(name="b", split="val")])


def test_a_corpus_without_fakes_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no fake videos"):
        run_toy(only_real(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pseudo_fakes_make_a_corpus_without_fakes_enough(tmp_path: Path) -> None:
    def forge(crop: Pixels, points: Floats, rng: np.random.Generator) -> Forged:
        if rng.random() < 0.1:
            raise InputError(Status.UNSUPPORTED, "no luck")
        mask = np.zeros(crop.shape[:2], np.float32)
        mask[40:56] = 1
        fake = np.where(mask[..., None] > 0, 255 - crop // 4, crop).astype(np.uint8)
        return Forged(crop, fake, mask, points)

    runtime = Runtime(world=Alone(), folder=tmp_path / "out")
    changes = Changes(forge=forge, name="bands")
    config = dataclasses.replace(with_recipe(epochs=20), optim=OptimConfig(lr=0.05))
    finetune(toy(), only_real(tmp_path), config, runtime, changes)

    assert lines_of(tmp_path / "out", "epoch")[-1]["val_auc"] == 1.0


@pytest.mark.parametrize(
    ("split", "methods", "message"),
    [
        ("manipulation", ("one",), "needs two of them, the corpus has 1"),
        ("videos", ("one",), None),
        ("auto", ("one",), None),
        ("auto", ("one", "two"), None),
    ],
)
def test_meta_learning_takes_what_it_is_given_or_says_why_not(
    tmp_path: Path, split: str, methods: tuple[str, ...], message: str | None
) -> None:
    corpus = make_corpus(tmp_path, usual(9, methods, crops=1))
    config = dataclasses.replace(
        with_recipe(epochs=2), meta=MetaConfig(enabled=True, split=split, steps=2)
    )
    if message is None:
        run_toy(corpus, tmp_path / "out", config, batch_norm=True)
        assert {"train_cls", "test_cls"} < set(lines_of(tmp_path / "out", "epoch")[-1])
        return
    with pytest.raises(ConfigError, match=message):
        run_toy(corpus, tmp_path / "out", config)


def test_validation_alone_chooses_the_checkpoint(corpus: Corpus, tmp_path: Path) -> None:
    best = run_toy(corpus, tmp_path)
    scores = [line["score"] for line in lines_of(tmp_path, "epoch")]
    state = json.loads((best / "state.json").read_text())

    assert state["score"] == max(scores)


def test_a_selection_without_a_validation_side_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, data=Selection(validation_split="absent"))

    with pytest.raises(ConfigError, match="no video is selected"):
        run_toy(corpus, tmp_path, config)


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        (Recipe, {"epochs": 0}, "epochs is too small: `0`"),
        (Recipe, {"precision": "float8"}, "unknown precision"),
        (Recipe, {"clip_norm": 0.0}, "clip_norm is too small"),
        (Recipe, {"ema_decay": 1.0}, "ema_decay is out of range"),
        (Habits, {"threads": 0}, "threads is too small"),
        (MetaConfig, {"split": "coin"}, "unknown split"),
        (MetaConfig, {"lr": 0.0}, "lr is too small"),
        (Selection, {"holdout": 1.0}, "holdout is out of range"),
    ],
)
def test_wrong_settings_are_named(kind: type, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        kind(**settings)
