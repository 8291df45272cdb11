"""What happens to crops on their way into training: `forge` as `training` asks for it."""

from dataclasses import dataclass

import numpy as np

from mover_ray.config import fingerprint, to_mapping
from mover_ray.forge.augment import PairAugment, PairConfig
from mover_ray.forge.quality import Quality, QualityConfig
from mover_ray.pipelines.train_config import FinetuneRun, unchanged
from mover_ray.training.finetune import Changes
from mover_ray.training.loading import View


@dataclass(frozen=True, slots=True)
class QualityAugment:
    """An `Augment`: changes of quality that say nothing of the label."""

    config: QualityConfig

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        """Gives the changed crop, with the landmarks and the mask that fit it."""
        quality = Quality.draw(self.config, rng)
        return View(
            quality.pixels(view.pixels),
            quality.landmarks(view.landmarks, view.pixels.shape[1]),
            None if view.mask is None else quality.mask(view.mask),
        )


def changes_of(run: FinetuneRun) -> Changes:
    """Gives what a second stage does to its crops.

    Raises:
        ConfigError: A family of pseudo-fakes is unknown.
    """
    quality = run.quality if run.augment else unchanged()
    pairs = PairConfig(families=run.families, quality=quality)
    said = {"augment": run.augment, "forge": run.forge, "pairs": to_mapping(pairs)}
    return Changes(
        augment=QualityAugment(run.quality) if run.augment else None,
        forge=PairAugment(pairs) if run.forge else None,
        name=fingerprint(said),
    )
