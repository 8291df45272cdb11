"""What happens to crops on their way into training: `forge` as `training` asks for it."""

from dataclasses import dataclass

import numpy as np

from mover_ray.config import fingerprint, to_mapping
from mover_ray.forge.augment import PairAugment, PairConfig
from mover_ray.forge.partner_bank import PartnerBank
from mover_ray.forge.quality import Quality, QualityConfig
from mover_ray.pipelines.train_config import FinetuneRun, unchanged
from mover_ray.training.corpus import REAL, Corpus
from mover_ray.training.finetune import Changes
from mover_ray.training.loading import View
from mover_ray.training.sampler import Indices
from mover_ray.training.samples import segments, select


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


def changes_of(run: FinetuneRun, corpus: Corpus) -> Changes:
    """Gives what a second stage does to its crops.

    Raises:
        ConfigError: A family of pseudo-fakes is unknown, or no real video is selected.
    """
    quality = run.quality if run.augment else unchanged()
    pairs = PairConfig(families=run.families, quality=quality)
    said = {"augment": run.augment, "forge": run.forge, "pairs": to_mapping(pairs)}
    said |= {"partners": run.partners}
    return Changes(
        augment=QualityAugment(run.quality) if run.augment else None,
        forge=PairAugment(pairs, _partners(run, corpus)) if run.forge else None,
        name=fingerprint(said),
    )


def _partners(run: FinetuneRun, corpus: Corpus) -> PartnerBank | None:
    """Draws one real crop of each of as many training videos as there are to be partners.

    Where there are fewer videos, each gives more than one.
    """
    if not run.partners:
        return None
    videos = select(corpus, run.training.data, validation=False)
    real = segments(corpus, videos[corpus.labels[videos] == REAL], 1)
    order = np.random.default_rng(run.recipe.seed).permutation(len(real))
    # Of each video the first in the drawn order, then of each the second, and so on.
    rank = _rank_within(real.videos[order])
    chosen = order[np.argsort(rank, kind="stable")][: run.partners]
    return PartnerBank(
        [
            (corpus.pixels(crop), np.array(corpus.crops["landmarks"][crop]))
            for crop in real.crops[chosen, 0].tolist()
        ]
    )


def _rank_within(groups: Indices) -> Indices:
    """Gives for each element how many of its group came before it."""
    order = np.argsort(groups, kind="stable")
    _, first, inverse = np.unique(groups[order], return_index=True, return_inverse=True)
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - first[inverse]
    return rank
