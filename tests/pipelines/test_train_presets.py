import pytest

from mover_ray.errors import ConfigError
from mover_ray.models.registry import DETECTORS
from mover_ray.pipelines import train_presets
from mover_ray.pipelines.train import TrainOptions, resolve
from mover_ray.pipelines.train_config import FinetuneRun

FACTS = ("command", "hardware", "duration", "expected")


@pytest.mark.parametrize("name", train_presets.names())
def test_a_preset_resolves_and_says_what_to_expect(name):
    text, settings = train_presets.read(name)
    run = resolve(settings["stage"], TrainOptions(preset=name, dest="out"))
    if isinstance(run, FinetuneRun):
        assert run.detector in DETECTORS
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert [fact for fact in FACTS if any(line.startswith(f"# {fact} ") for line in comments)] == [
        *FACTS
    ]
    assert train_presets.headline(text).endswith(".")


def test_the_presets_are_those_that_are_promised():
    for kind in ("deepfakemae", "mover", "delocate", "fcg", "ln-clip", "motion"):
        assert {f"{kind}-ffpp", f"{kind}-tiny-cpu"} <= set(train_presets.names())


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigError) as raised:
        train_presets.read("mover-fpp")
    assert raised.value.hint == "did you mean `mover-ffpp`?"


@pytest.mark.parametrize("name", ["../mover", "/etc/passwd", ""])
def test_a_name_is_no_path(name):
    with pytest.raises(ConfigError, match="unknown preset"):
        train_presets.read(name)


def test_a_file_of_ones_own_is_read(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('# Mine.\nstage = "pretrain"\n')
    text, settings = train_presets.read(str(own))
    assert (train_presets.headline(text), settings) == ("Mine.", {"stage": "pretrain"})
    with pytest.raises(ConfigError, match="cannot be read"):
        train_presets.read(str(tmp_path / "none.toml"))


def test_the_stage_must_be_the_commands(tmp_path):
    with pytest.raises(ConfigError, match="is for `finetune`") as raised:
        resolve("pretrain", TrainOptions(preset="mover-ffpp", dest="out"))
    assert raised.value.hint == "`mover-ray train finetune mover-ffpp`"
    own = tmp_path / "own.toml"
    own.write_text("corpus = []\n")
    with pytest.raises(ConfigError, match="no stage"):
        resolve("pretrain", TrainOptions(preset=str(own), dest="out"))
