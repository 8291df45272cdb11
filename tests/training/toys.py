"""A detector of a few hundred weights, and a program that trains it, to be killed."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.models.base import Detector, DetectorOutput, FaceBatch, InputSpec
from mover_ray.models.layers.pixels import normalize
from mover_ray.training.corpus import Corpus, Floats, Pixels, open_corpus
from mover_ray.training.finetune import Changes, FinetuneConfig, finetune
from mover_ray.training.loading import View
from mover_ray.training.optim import OptimConfig
from mover_ray.training.recipe import Habits, Recipe
from mover_ray.training.world import Alone, Runtime, World
from tests.training.made import SIZE_PX

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    segment_frames: int = 1
    width: int = 8
    batch_norm: bool = False
    dropout: float = 0.0


class Toy(Detector):
    """Sees a face at 4 x 4 pixels."""

    head_names = ()

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = InputSpec(size_px=SIZE_PX, segment_frames=config.segment_frames)
        self.mask_kind = None
        self.inner = nn.Linear(48, config.width)
        self.norm = (
            nn.BatchNorm1d(config.width) if config.batch_norm else nn.LayerNorm(config.width)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.width, 1)

    def forward(self, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> DetectorOutput:
        pooled = F.adaptive_avg_pool2d(normalize(faces_STCHW.flatten(0, 1)), 4).flatten(1)
        hidden = self.dropout(torch.tanh(self.norm(self.inner(pooled))))
        logits_ST = self.head(hidden).reshape(faces_STCHW.shape[:2]).float()
        logits_S = logits_ST.mean(dim=1)
        return DetectorOutput(logits_S=logits_S, frame_logits_ST=logits_ST, head_scores={})

    def losses(self, batch: FaceBatch) -> dict[str, Tensor]:
        logits_S = self(batch.faces, batch.landmarks).logits_S
        return {"cls": F.binary_cross_entropy_with_logits(logits_S, batch.labels.float())}

    def localize(self, faces_NCHW: Tensor, landmarks_NKX: Tensor) -> Tensor:
        raise RuntimeError("a toy makes no masks")


def toy(**settings: object) -> Toy:
    """Gives the same toy every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return Toy(ToyConfig(**settings))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Flicker:
    """Brightens a crop by chance; slow where a test needs time to strike."""

    pause_s: float = 0.0

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        time.sleep(self.pause_s)
        offset = rng.integers(-20, 20)
        pixels = np.clip(view.pixels.astype(np.int16) + offset, 0, 255).astype(np.uint8)
        return View(pixels, view.landmarks, view.mask)


@dataclass(frozen=True)
class Forged:
    """A pair as `forge.augment` gives it."""

    real: Pixels
    fake: Pixels
    mask: Floats
    landmarks: Floats


CONFIG = FinetuneConfig(
    optim=OptimConfig(lr=0.01, weight_decay=0.01),
    recipe=Recipe(epochs=3, batch_size=4, ema_decay=0.9, clip_norm=5.0),
    habits=Habits(checkpoint_steps=2, log_steps=1, threads=2, micro_batch=2),
)


def run_toy(
    corpus: Corpus,
    folder: Path,
    config: FinetuneConfig = CONFIG,
    world: World | None = None,
    pause_s: float = 0.0,
    **settings: object,
) -> Path:
    """Finetunes a toy; gives the best checkpoint."""
    runtime = Runtime(world=world or Alone(), folder=folder)
    changes = Changes(augment=Flicker(pause_s), name="flicker")
    return finetune(toy(**settings), corpus, config, runtime, changes)


def main(corpus: str, folder: str, pause_s: str) -> None:
    """Trains alone."""
    torch.set_num_threads(1)
    run_toy(open_corpus(Path(corpus)), Path(folder), pause_s=float(pause_s), dropout=0.2)


if __name__ == "__main__":
    main(*sys.argv[1:])
