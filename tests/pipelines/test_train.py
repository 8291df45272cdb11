import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mover_ray.errors import ArtifactError, ConfigError, HeldError, LocationError, MoverRayError
from mover_ray.models import bundle as bundles
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.train import TrainOptions, resolve, train
from mover_ray.pipelines.train_config import FinetuneRun
from mover_ray.storage import storage_for
from tests.pipelines.training_toys import options, write_corpus, write_presets
from tests.training.made import usual, write_extract

ROOT = Path(__file__).parents[2]


class Heard(Quiet):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with presets, a corpus, and both stages trained on it."""
    folder = tmp_path_factory.mktemp("trained")
    write_presets(folder)
    write_corpus(folder / "crops")
    for stage in ("pretrain", "finetune"):
        train(stage, options(folder, stage, command=f"train {stage}"), Quiet())
    return folder


def test_the_second_stage_leaves_a_bundle_that_says_where_it_comes_from(trained):
    bundle = bundles.verify(trained / "finetune" / "bundle")
    assert (bundle.trained, bundle.model_id) == (True, "toy-finetune-0")
    assert bundle.faces.size_px == 32
    facts = bundle.training
    assert (facts.datasets, facts.seed, facts.command) == (("made",), 0, "train finetune")
    card = json.loads((trained / "pretrain" / "autoencoder.json").read_text())
    assert card["sha256"] in (facts.notes or "")


def test_the_bundle_holds_the_autoencoder_of_the_first_stage(trained):
    first = load_file(trained / "pretrain" / "autoencoder.safetensors")
    detector = bundles.load(trained / "finetune" / "bundle").detector()
    own = detector.get_submodule("mae").state_dict()
    torch.testing.assert_close(first, dict(own), rtol=0, atol=0)


def test_a_finished_training_is_not_trained_again(trained):
    heard = Heard()
    before = (trained / "finetune" / "metrics.jsonl").read_bytes()
    summary = train("finetune", options(trained, "finetune"), heard)
    assert heard.messages == []
    assert (trained / "finetune" / "metrics.jsonl").read_bytes() == before
    scores = [line["score"] for line in map(json.loads, before.splitlines()) if "score" in line]
    assert summary.metrics["score"] == max(scores)


def test_another_training_is_not_mixed_into_a_destination(trained):
    changed = options(trained, "finetune", settings={"training": {"recipe": {"seed": 1}}})
    with pytest.raises(HeldError, match="seed` was 0, is 1"):
        train("finetune", changed, Quiet())


def test_curves_and_pictures_lie_beside_the_checkpoints(trained):
    assert list((trained / "pretrain" / "tensorboard").glob("events*"))
    assert len(list((trained / "pretrain" / "pictures").glob("*.png"))) == 2


@pytest.mark.parametrize("start", [None, "pretrain/crops"])
def test_without_a_first_stage_there_is_no_second(trained, tmp_path, start):
    wanted = None if start is None else str(trained / start)
    given = options(trained, "finetune", start=wanted, dest=str(tmp_path / "out"))
    with pytest.raises((ConfigError, ArtifactError)) as raised:
        train("finetune", given, Quiet())
    assert "train pretrain" in (raised.value.hint or "")


def test_a_second_stage_can_begin_with_a_public_encoder(trained, tmp_path):
    start = trained / "pretrain" / "autoencoder.safetensors"
    given = options(trained, "finetune", start=str(start), dest=str(tmp_path / "out"))
    bundle = bundles.load(Path(train("finetune", given, Quiet()).model))
    weights, own = load_file(start), bundle.detector().state_dict()
    name = "encoder.blocks.0.attn.qkv.weight"
    torch.testing.assert_close(own[f"mae.{name}"], weights[name], atol=1e-2, rtol=1e-2)
    # What the file holds beside the encoder was not asked for.
    assert not torch.allclose(own["mae.decoder.pred.weight"], weights["decoder.pred.weight"])
    assert "SHA-256" in (bundle.training.notes or "")


def refused(trained: Path, dest: Path, stage: str, **changes) -> MoverRayError:
    with pytest.raises(MoverRayError) as raised:
        train(stage, options(trained, stage, dest=str(dest), **changes), Quiet())
    assert not (dest / "_SUCCESS.json").exists()
    return raised.value


def test_a_corpus_of_another_face_policy_is_refused(trained, tmp_path):
    corpus = write_corpus(tmp_path / "larger", px=64)
    error = refused(trained, tmp_path / "out", "finetune", corpus=(corpus,))
    assert (error.exit_code, "`size_px` was 32, is 64" in str(error)) == (2, True)


def test_an_autoencoder_of_another_size_is_refused(trained, tmp_path):
    settings = {"model": {"mae": {"patch_px": 8}}}
    error = refused(trained, tmp_path / "out", "finetune", settings=settings)
    assert (error.exit_code, "`patch_px` was 16, is 8" in str(error)) == (2, True)


def test_an_altered_autoencoder_is_refused(trained, tmp_path):
    for name in ("autoencoder.json", "autoencoder.safetensors"):
        content = (trained / "pretrain" / name).read_bytes()
        (tmp_path / name).write_bytes(content if name.endswith("json") else content + b" ")
    error = refused(trained, tmp_path / "out", "finetune", start=str(tmp_path))
    assert (error.exit_code, "altered" in str(error)) == (3, True)


def test_a_corpus_without_fakes_is_refused(trained, tmp_path):
    corpus = str(write_extract(tmp_path / "real", usual(methods=(), crops=1), 32))
    error = refused(trained, tmp_path / "out", "finetune", corpus=(corpus,))
    assert (error.exit_code, "no fake videos" in str(error)) == (2, True)
    assert "pseudo-fakes" in (error.hint or "")
    # What was refused does not claim the destination.
    again = {"corpus": (corpus,), "settings": {"training": {"recipe": {"seed": 1}}}}
    assert "no fake videos" in str(refused(trained, tmp_path / "out", "finetune", **again))


def test_meta_learning_by_manipulation_needs_two(trained, tmp_path):
    corpus = str(write_extract(tmp_path / "one", usual(methods=("one",), crops=1), 32))
    settings = {"training": {"meta": {"enabled": True, "split": "manipulation"}}}
    error = refused(trained, tmp_path / "out", "finetune", corpus=(corpus,), settings=settings)
    assert (error.exit_code, "needs two" in str(error)) == (2, True)


def test_an_unfinished_corpus_and_none_at_all_are_refused(trained, tmp_path):
    missing = refused(trained, tmp_path / "a", "pretrain", corpus=(str(tmp_path / "no"),))
    assert isinstance(missing, LocationError)
    none = refused(trained, tmp_path / "b", "pretrain", corpus=())
    assert (none.exit_code, "`--corpus" in (none.hint or "")) == (2, True)


def test_a_name_that_cannot_stand_in_rows_is_refused_before_training(trained, tmp_path):
    error = refused(trained, tmp_path / "out", "finetune", settings={"model_id": "My model"})
    assert "model_id" in str(error)
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_a_setting_leaves_those_beside_it_as_they_are(trained):
    given = TrainOptions(
        preset="mover-tiny-cpu", dest="out", settings={"training": {"optim": {"lr": 0.5}}}
    )
    run = resolve("finetune", given)
    assert isinstance(run, FinetuneRun)
    assert (run.training.optim.lr, run.training.optim.layer_decay) == (0.5, 0.75)
    own = str(trained / "toy-finetune.toml")
    changed = resolve(
        "finetune",
        TrainOptions(preset=own, dest="out", settings={"training": {"optim_mapping": {"lr": 1.0}}}),
    )
    assert isinstance(changed, FinetuneRun)
    assert (changed.training.optim_mapping.lr, changed.training.optim_mapping.name) == (1.0, "sgd")


@pytest.mark.parametrize(
    ("text", "count", "least"), [("3", 3, None), ("2:8", 8, 2), (None, 1, None)]
)
def test_a_number_of_workers_or_a_range(text, count, least):
    run = resolve("finetune", TrainOptions(preset="mover-tiny-cpu", dest="out", workers=text))
    assert (run.workers.count, run.workers.least) == (count, least)


@pytest.mark.parametrize("text", ["", "many", "2:", ":2", "8:2", "-1"])
def test_what_is_no_number_of_workers_is_refused(text):
    with pytest.raises(ConfigError):
        resolve("finetune", TrainOptions(preset="mover-tiny-cpu", dest="out", workers=text))


def test_what_one_node_left_in_a_bucket_another_one_goes_on_from(trained, tmp_path):
    dest = "memory://bucket/run"
    train("pretrain", options(trained, "pretrain", dest=dest), Quiet())
    store = storage_for(dest)
    names = {info.uri.removeprefix(f"{dest}/"): info.uri for info in store.list(dest)}
    assert {"metrics.jsonl", "autoencoder.json", "_SUCCESS.json", "run.json"} <= set(names)
    made = store.read(names["autoencoder.safetensors"])
    assert made == (trained / "pretrain" / "autoencoder.safetensors").read_bytes()

    for name in ("_SUCCESS.json", "autoencoder.safetensors"):
        store.delete(names[name])
    heard, settings = Heard(), {"cache_dir": str(tmp_path / "another node")}
    train("pretrain", options(trained, "pretrain", dest=dest, settings=settings), heard)
    assert heard.messages == []  # both epochs were there
    assert store.read(names["autoencoder.safetensors"]) == made


def test_a_killed_training_ends_like_an_undisturbed_one(trained, tmp_path):
    dest = tmp_path / "killed"
    spec = {"preset": str(trained / "toy-pretrain.toml"), "dest": str(dest)}
    program = (
        "import sys, torch; torch.set_num_threads(1);"
        "from mover_ray.pipelines.train import *; from mover_ray.pipelines.progress import Quiet;"
        f"train('pretrain', TrainOptions(**{spec}, corpus=({str(trained / 'crops')!r},),"
        f" settings={{'cache_dir': {str(trained / 'cache')!r}}}), Quiet())"
    )
    victim = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], cwd=ROOT)
    until = time.monotonic() + 200
    while not list(dest.glob("checkpoints/0*")) and victim.poll() is None:
        assert time.monotonic() < until, "no checkpoint"
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not (dest / "_SUCCESS.json").exists(), "too late to be killed"

    train("pretrain", options(trained, "pretrain", dest=str(dest)), Quiet())
    ended, undisturbed = (
        load_file(folder / "autoencoder.safetensors") for folder in (dest, trained / "pretrain")
    )
    torch.testing.assert_close(ended, undisturbed, rtol=0, atol=0)
