"""From units to batches: crops are read, decoded and augmented by threads, ahead of time.

JPEG decoding and OpenCV give up Python's lock, so that threads suffice and share the
corpus's memory. Chance is drawn from a generator seeded by (seed, epoch, segments): what
becomes of a face does not depend on the rank, the thread or the batch that it is in.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mover_ray.errors import InputError
from mover_ray.models.base import FaceBatch
from mover_ray.training.corpus import FAKE, REAL, Floats, Pixels
from mover_ray.training.pairing import FORGED
from mover_ray.training.sampler import EpochPlan, Indices, Share
from mover_ray.training.samples import Samples

Loaded = TypeVar("Loaded")

#: Segments that are tried in place of one of which no fake can be made.
_SUBSTITUTES = 8

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """One crop on its way into a batch."""

    pixels: Pixels
    """uint8 RGB [H, W, 3]."""
    landmarks: Floats
    """[68, 2], pixels of the crop."""
    mask: Floats | None
    """Where it is manipulated, [H, W] in [0, 1]; None where that is unknown."""


class Augment(Protocol):
    """Changes a crop by chance.

    It is called with the same generator state for every frame of a segment and for the
    real and the fake segment of a pair. What it draws must not depend on the picture;
    then all of them are changed alike, and the change says nothing of the label.
    """

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        """Gives the changed crop; landmarks and mask follow the pixels."""
        ...


class MadePair(Protocol):
    """A real crop and the pseudo-fake that was made of it."""

    @property
    def real(self) -> Pixels:
        """uint8 RGB [H, W, 3]."""
        ...

    @property
    def fake(self) -> Pixels:
        """uint8 RGB [H, W, 3]."""
        ...

    @property
    def mask(self) -> Floats:
        """Where the fake was forged, [H, W] in [0, 1]."""
        ...

    @property
    def landmarks(self) -> Floats:
        """[68, 2], pixels of either crop."""
        ...


class PairTransform(Protocol):
    """Makes a pseudo-fake of a real crop and augments both alike.

    As with `Augment`, every frame of a segment meets the same generator state.
    """

    def __call__(self, crop: Pixels, landmarks: Floats, rng: np.random.Generator, /) -> MadePair:
        """Gives the pair.

        Raises:
            InputError: No fake can be made of this crop.
        """
        ...


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as it enters a batch."""

    views: list[View]
    label: int
    """`REAL` or `FAKE`."""
    sample: int
    """Its number; for a made fake, that of the real segment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How segments are read."""

    samples: Samples
    """The segments by number."""
    seed: int
    """Of the training."""
    augment: Augment | None = None
    """None: crops stay as they are."""
    forge: PairTransform | None = None
    """Needed for pairs with `FORGED`."""
    with_masks: bool = False
    """Whether the model learns masks; reading them costs time."""

    def pair(self, real: int, fake: int, epoch: int) -> list[Segment]:
        """Reads a real segment and its fake, or makes the fake.

        A real segment of which no fake can be made gives up its place to another one.

        Raises:
            InputError: No fake can be made of any of the segments that were tried.
        """
        key = (self.seed, epoch, real, fake + 1)
        if fake != FORGED:
            return [self._segment(one, key) for one in (real, fake)]
        if self.forge is None:
            raise ValueError("a fake is to be made, but no pair transform was given")
        others = np.random.default_rng(key).choice(self.samples.of(REAL), _SUBSTITUTES)
        for number, one in enumerate((real, *others.tolist())):
            try:
                return self._forged(self.forge, one, (*key, number))
            except InputError as error:
                refusal = error
                _logger.warning("no fake of segment %s: %s", self.samples.name(one), error)
        raise refusal

    def _forged(self, forge: PairTransform, real: int, key: tuple[int, ...]) -> list[Segment]:
        made = [
            forge(view.pixels, view.landmarks, np.random.default_rng(key))
            for view in self._views(real)
        ]
        return [
            Segment([View(pair.real, pair.landmarks, None) for pair in made], REAL, real),
            Segment([View(pair.fake, pair.landmarks, pair.mask) for pair in made], FAKE, real),
        ]

    def single(self, sample: int, epoch: int) -> Segment:
        """Reads one segment by itself."""
        return self._segment(sample, (self.seed, epoch, sample))

    def _segment(self, sample: int, key: tuple[int, ...]) -> Segment:
        views = self._views(sample)
        if self.augment is not None:
            views = [self.augment(view, np.random.default_rng(key)) for view in views]
        return Segment(views, int(self.samples.labels[sample]), sample)

    def _views(self, sample: int) -> list[View]:
        corpus = self.samples.corpus
        return [
            View(
                corpus.pixels(crop),
                np.array(corpus.crops["landmarks"][crop]),
                corpus.mask(crop) if self.with_masks else None,
            )
            for crop in self.samples.crops[sample].tolist()
        ]


def collate(segments: Sequence[Segment], *, with_masks: bool = False) -> FaceBatch:
    """Joins segments of equal length into one batch [S, T, ...].

    Args:
        segments: At least one.
        with_masks: Whether the batch has masks: zeros for real faces and, with
            `has_mask` False, for fakes whose mask is unknown.
    """
    views = [view for segment in segments for view in segment.views]
    shape = (len(segments), len(segments[0].views))
    masks, known = None, None
    if with_masks:
        empty = np.zeros(views[0].pixels.shape[:2], np.float32)
        masks = _stacked([empty if view.mask is None else view.mask for view in views], shape)
        known = torch.tensor([view.mask is not None for view in views]).reshape(shape)
    return FaceBatch(
        faces=_stacked([view.pixels.transpose(2, 0, 1) for view in views], shape),
        landmarks=_stacked([view.landmarks for view in views], shape),
        labels=torch.tensor([segment.label for segment in segments]),
        masks=masks,
        has_mask=known,
    )


def _stacked(arrays: Sequence[npt.NDArray[Any]], shape: tuple[int, int]) -> Tensor:
    """Gives arrays of one shape as a tensor with the leading dimensions `shape`."""
    return torch.from_numpy(np.stack(arrays).reshape(*shape, *arrays[0].shape))


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of one epoch."""

    reading: Reading
    pairs: Indices
    """[U, 2], see `pairing.pair_up`."""

    def __len__(self) -> int:
        return len(self.pairs)

    def load(self, plan: EpochPlan, share: Share, threads: Executor) -> Callable[[], FaceBatch]:
        """Starts reading a share; gives a function that waits for the batch."""
        return self.read(plan.units(share), plan.epoch, threads)

    def read(self, units: Indices, epoch: int, threads: Executor) -> Callable[[], FaceBatch]:
        """Starts reading pairs by number; gives a function that waits for the batch."""
        segments = self.read_segments(units, epoch, threads)
        return lambda: self.collate(segments())

    def read_segments(
        self, units: Indices, epoch: int, threads: Executor
    ) -> Callable[[], list[Segment]]:
        """Starts reading pairs by number; gives a function that waits for their segments."""
        pairs = [
            threads.submit(self.reading.pair, real, fake, epoch)
            for real, fake in self.pairs[units].tolist()
        ]
        return lambda: [segment for pair in pairs for segment in pair.result()]

    def read_now(self, units: Indices, epoch: int) -> FaceBatch:
        """Reads pairs by number."""
        pairs = [self.reading.pair(real, fake, epoch) for real, fake in self.pairs[units].tolist()]
        return self.collate([segment for pair in pairs for segment in pair])

    def collate(self, segments: Sequence[Segment]) -> FaceBatch:
        """Joins segments into one batch, with masks where they are read."""
        return collate(segments, with_masks=self.reading.with_masks)

    def names(self, plan: EpochPlan, share: Share) -> list[str]:
        """Gives the names of both segments of each pair."""
        samples, pairs = self.reading.samples, self.pairs[plan.units(share)]
        return [samples.name(one) for one in pairs.ravel().tolist() if one != FORGED]


def ahead_of_time(
    starts: Iterable[Callable[[], Callable[[], Loaded]]], ahead: int
) -> Iterator[Loaded]:
    """Gives what the started work gives, in order, with some of it always under way.

    Args:
        starts: Each starts a piece of work and gives a function that waits for it.
        ahead: Pieces that are under way while one is used.
    """
    waiting: deque[Callable[[], Loaded]] = deque()
    for start in starts:
        waiting.append(start())
        if len(waiting) > ahead:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()
