"""Trainings of seconds: presets of the smallest sizes and a corpus of a few faces."""

from pathlib import Path
from typing import Any

from mover_ray.config import merge
from mover_ray.pipelines.train import TrainOptions
from tests.training.made import usual, write_extract

PX = 32

_SMALLEST = """
[training.recipe]
epochs = 2
batch_size = 4
[training.habits]
threads = 1
log_steps = 1
checkpoint_steps = 1
"""
PRETRAIN = f"""# Restores.
stage = "pretrain"
[model]
image_px = {PX}
{_SMALLEST}
"""
FINETUNE = f"""# Tells fakes.
stage = "finetune"
detector = "mover"
[model]
branches = ["mapping"]
segment_frames = 1
norm = "group"
[model.mae]
image_px = {PX}
{_SMALLEST}
"""


def write_presets(folder: Path) -> None:
    """Writes `toy-pretrain.toml` and `toy-finetune.toml`."""
    (folder / "toy-pretrain.toml").write_text(PRETRAIN)
    (folder / "toy-finetune.toml").write_text(FINETUNE)


def write_corpus(folder: Path, px: int = PX) -> str:
    """Writes an output of `extract` with 6 real and 12 fake crops; gives its path."""
    return str(write_extract(folder, usual(sources=6, crops=1), px))


def options(folder: Path, stage: str, **changes: Any) -> TrainOptions:
    """Gives the options of a toy in `folder`, which holds presets and the corpus `crops`."""
    given: dict[str, Any] = {
        "preset": str(folder / f"toy-{stage}.toml"),
        "corpus": (str(folder / "crops"),),
        "dest": str(folder / stage),
        "start": None if stage == "pretrain" else str(folder / "pretrain"),
        **changes,
    }
    settings = merge({"cache_dir": str(folder / "cache")}, given.pop("settings", {}))
    return TrainOptions(**given, settings=settings)
