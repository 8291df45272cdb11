"""How well a detector tells the videos that it does not learn from.

Shapes:
    S: segments   V: videos   B: faces   H, W: pixels   h, w: pixels of a map
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from mover_ray.models.base import Detector, DetectorOutput, FaceBatch
from mover_ray.training.corpus import FAKE
from mover_ray.training.loading import Pairs, PairTransform, Reading, Segment, ahead_of_time
from mover_ray.training.metrics import area_under_roc
from mover_ray.training.pairing import pair_up
from mover_ray.training.pictures import write_sheet
from mover_ray.training.recipe import Habits
from mover_ray.training.samples import Samples
from mover_ray.training.task import SCORE
from mover_ray.training.world import World

Scores = npt.NDArray[np.float64]

#: Pairs on the sheet of masks.
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Validation:
    """Real and fake segments that are scored the same way every time."""

    detector: Detector
    pairs: Pairs

    @classmethod
    def of(
        cls, samples: Samples, detector: Detector, seed: int, forge: PairTransform | None
    ) -> Self:
        """Chooses the pairs. Fakes are forged only where there are no given ones.

        Raises:
            ConfigError: There are no real segments, or no fakes and no way to make them.
        """
        lonely = forge is not None and not len(samples.of(FAKE))
        with_masks = detector.mask_kind == "trained"
        reading = Reading(samples=samples, seed=seed, forge=forge, with_masks=with_masks)
        return cls(detector, Pairs(reading, pair_up(samples, seed, 0, forge=lonely)))

    def run(self, habits: Habits, world: World, threads: Executor) -> Mapping[str, float]:
        """Scores every pair; gives AUC of videos, which decides, and log loss.

        A video's probability is the mean over its segments. A fake that is made of a
        real video counts as a video of its own.
        """
        num_videos = self.pairs.reading.samples.corpus.videos.num_rows
        # Row 0 for real and row 1 for fake; the sum of probabilities, and how many.
        sums_2V2 = torch.zeros(2, num_videos, 2, dtype=torch.float64)
        for segments in self._segments(habits, world, threads):
            sums_2V2.index_put_(
                self._places(segments), self._score(segments, world), accumulate=True
            )
        sums = world.sum(sums_2V2.to(world.device)).cpu().numpy()
        seen = sums[..., 1] > 0
        is_fake = np.broadcast_to([[False], [True]], seen.shape)[seen]
        return _measure(sums[seen][:, 0] / sums[seen][:, 1], is_fake)

    def _segments(self, habits: Habits, world: World, threads: Executor) -> Iterator[list[Segment]]:
        """Gives this rank's segments, some at a time."""
        own = np.arange(world.rank, len(self.pairs), world.size)
        starts = (
            partial(self.pairs.read_segments, own[first : first + habits.micro_batch], 0, threads)
            for first in range(0, len(own), habits.micro_batch)
        )
        return ahead_of_time(starts, habits.ahead)

    def _places(self, segments: Sequence[Segment]) -> tuple[Tensor, Tensor]:
        videos = self.pairs.reading.samples.videos[[segment.sample for segment in segments]]
        return torch.tensor([segment.label for segment in segments]), torch.from_numpy(videos)

    def _score(self, segments: Sequence[Segment], world: World) -> Tensor:
        batch = self.pairs.collate(segments).to(world.device)
        output: DetectorOutput = self.detector(batch.faces, batch.landmarks)
        fake_S = output.logits_S.double().sigmoid().cpu()
        return torch.stack([fake_S, torch.ones_like(fake_S)], dim=1)


def _measure(scores: Scores, is_fake: npt.NDArray[np.bool_]) -> Mapping[str, float]:
    right = np.where(is_fake, scores, 1 - scores).clip(1e-12, 1)
    auc = area_under_roc(scores, is_fake)
    return {"val_auc": auc, "val_log_loss": float(-np.log(right).mean()), SCORE: auc}


@torch.no_grad()
def illustrate(validation: Validation, device: torch.device, path: Path) -> None:
    """Shows faces, the detector's map of each, and the true mask where it learns masks."""
    detector = validation.detector
    if detector.mask_kind is None:
        return
    batch = _some(validation).to(device).singles()
    size = batch.faces.shape[-2:]
    maps_Bhw = detector.localize(batch.faces, batch.landmarks)
    maps_BHW = F.interpolate(maps_Bhw[:, None].float(), size, mode="bilinear")[:, 0]
    columns: list[Tensor] = [batch.faces / 255, maps_BHW.clamp(0, 1)]
    if batch.masks is not None:
        columns.append(batch.masks)
    write_sheet(path.with_suffix(".png"), columns)


def _some(validation: Validation) -> FaceBatch:
    """Reads a few pairs from all over the corpus."""
    last = len(validation.pairs) - 1
    units = np.unique(np.linspace(0, last, _SHOWN).astype(np.int64))
    return validation.pairs.read_now(units, 0)
